"""Named regions of the image: boxes in fractions, or masks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..map_statistics import box_coverage, mask_coverage

_EXPECTED = "(left, top, right, bottom) from 0 to 1, or a mask (H, W) of the image"
_NAME = re.compile(r"[\w\-. ]+")


class Regions:
    """Named regions, as coverage of the positions of maps.

    Args:
        regions: by name: a box ``(left, top, right, bottom)`` as fractions of the image, or a mask ``(H, W)`` of any
            size, or ``(N, H, W)``, one for each image.
        num_images: number of validation images.

    Raises:
        OptionError: an invalid name, box or mask.
    """

    def __init__(self, regions: Mapping[str, Any], num_images: int) -> None:
        self._regions = {_check_name(name): _check_region(name, one, num_images) for name, one in regions.items()}

    def coverages(self, shape: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
        """Return the coverage of each region, ``(h, w)`` or ``(N, h, w)``.

        Args:
            shape: rows and columns of the maps.
        """
        return {name: _coverage(one, shape) for name, one in self._regions.items()}


def _coverage(region: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    if region.ndim == 1:
        left, top, right, bottom = map(float, region)
        return box_coverage((left, top, right, bottom), shape)
    if region.ndim == 2:
        return mask_coverage(region, shape)
    return np.stack([mask_coverage(one, shape) for one in region])


def _check_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise OptionError(f"invalid name of a region {name!r}", expected="letters, digits, spaces, - . and _")
    return name


def _check_region(name: str, region: Any, num_images: int) -> NDArray[Any]:
    try:
        found = np.asarray(region)
    except ValueError:
        raise OptionError(f"invalid region {name!r}", expected=_EXPECTED) from None
    if found.dtype.kind not in "fiub" or 0 in found.shape:
        raise OptionError(f"invalid region {name!r} of {found.dtype}", expected=_EXPECTED)
    if found.ndim == 1 and len(found) == 4:
        left, top, right, bottom = map(float, found)
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise OptionError(f"invalid region {name!r}: {tuple(map(float, found))}", expected=_EXPECTED)
        return found
    if found.ndim == 2 or (found.ndim == 3 and len(found) == num_images):
        return np.asarray(found != 0)
    raise OptionError(f"invalid region {name!r} of shape {found.shape}", expected=_EXPECTED)
