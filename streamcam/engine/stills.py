"""Pictures that come as arrays, made to fit the model's input."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError
from ..frames import Pixels
from ..geometry import Geometry
from ..models.backend import tf

_GREY = 127
_WANTED = "uint8 RGB, (H, W, 3) for one image, (N, H, W, 3) or a list for many"


def as_pictures(images: Any) -> tuple[list[Pixels], bool]:
    """Images as a list of ``uint8 (H, W, 3)``, and whether it was one alone.

    Args:
        images: array or tensor ``(H, W, 3)`` or ``(N, H, W, 3)``, or a list of the former.

    Raises:
        OptionError: no images, or of another shape or type.
    """
    if isinstance(images, (list, tuple)):
        found = [np.asarray(image) for image in images]
        alone = False
    else:
        array = np.asarray(images)
        alone = array.ndim == 3
        found = [array] if alone else list(array) if array.ndim == 4 else []
        if not found:
            raise OptionError(f"images of shape {array.shape}", wanted=_WANTED)
    if not found:
        raise OptionError("an empty list of images", wanted=_WANTED)
    for image in found:
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise OptionError(f"an image of shape {image.shape}", wanted=_WANTED)
        if image.dtype != np.uint8:
            raise OptionError(
                f"an image of {image.dtype}", wanted=_WANTED, do="scale it to 0-255 and convert it with astype('uint8')"
            )
    return found, alone


def fitted(picture: Pixels, geometry: Geometry) -> Pixels:
    """A picture as the model's input, ``uint8 (height, width, 3)``; untouched where it has that size already."""
    width, height = geometry.input
    scaled = picture
    if geometry.scaled != geometry.source:
        across, down = geometry.scaled
        # Antialiased, so that a large picture is averaged and not sampled.
        resized = tf.image.resize(picture.astype(np.float32), (down, across), antialias=True).numpy()
        scaled = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    left, top = geometry.offset
    if (left, top) == (0, 0) and scaled.shape[:2] == (height, width):
        return scaled
    view = np.full((height, width, 3), _GREY, np.uint8)
    target = view[max(top, 0) : top + scaled.shape[0], max(left, 0) : left + scaled.shape[1]]
    target[:] = scaled[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return view
