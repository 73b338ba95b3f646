"""Pictures that come as arrays, made to fit the model's input."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError
from ..frames import RgbImage
from ..geometry import Geometry
from ..tf import tf

_GREY = 127
_EXPECTED = "uint8 RGB, (H, W, 3) for one image, (N, H, W, 3) or a list for many"


def as_images(images: Any) -> tuple[list[RgbImage], bool]:
    """Images as a list of ``uint8 (H, W, 3)``, and whether it was one alone.

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


def fit_image(image: RgbImage, geometry: Geometry) -> RgbImage:
    """A picture as the model's input, ``uint8 (height, width, 3)``; untouched where it has that size already."""
    width, height = geometry.input
    scaled = image
    if geometry.scaled != geometry.source:
        across, down = geometry.scaled
        # Antialiased, so that a large picture is averaged and not sampled.
        resized = tf.image.resize(image.astype(np.float32), (down, across), antialias=True).numpy()
        scaled = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    left, top = geometry.offset
    if (left, top) == (0, 0) and scaled.shape[:2] == (height, width):
        return scaled
    canvas = np.full((height, width, 3), _GREY, np.uint8)
    target = canvas[max(top, 0) : top + scaled.shape[0], max(left, 0) : left + scaled.shape[1]]
    target[:] = scaled[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return canvas
