"""Images that a caller passes as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError
from ..frames import RgbImage

_EXPECTED = "uint8 RGB, (H, W, 3) for one image, (N, H, W, 3) or a list for many"


def as_images(images: Any) -> tuple[list[RgbImage], bool]:
    """Return images as a list, and whether it was one image.

    Each is ``uint8 (H, W, 3)``.

    Args:
        images: array or tensor ``(H, W, 3)`` or ``(N, H, W, 3)``, or a list of the former.

    Raises:
        OptionError: no images, or of another shape or type.
    """
    if isinstance(images, (list, tuple)):
        arrays = [np.asarray(image) for image in images]
        is_single = False
    else:
        array = np.asarray(images)
        is_single = array.ndim == 3
        arrays = [array] if is_single else list(array) if array.ndim == 4 else []
        if not arrays:
            raise OptionError(f"images of shape {array.shape}", expected=_EXPECTED)
    if not arrays:
        raise OptionError("an empty list of images", expected=_EXPECTED)
    for image in arrays:
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise OptionError(f"an image of shape {image.shape}", expected=_EXPECTED)
        if image.dtype != np.uint8:
            raise OptionError(
                f"an image of {image.dtype}",
                expected=_EXPECTED,
                hint="scale it to 0-255 and convert it with astype('uint8')",
            )
    return arrays, is_single
