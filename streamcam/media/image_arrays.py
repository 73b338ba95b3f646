"""Images that a caller passes from Python: arrays, Pillow images and files."""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import OptionError, SourceError, describe_error
from ..frames import RgbImage
from ..options import DEFAULT_MAX_PIXELS

_EXPECTED = (
    "(H, W, 3) RGB or (H, W, 4) RGBA for one image, (N, H, W, 3 or 4) or a list for many; or Pillow images; paths"
)
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF")
"""Formats that are read, by Pillow's names: others may start a program, such as Ghostscript for EPS."""

_STRIPE_ROWS = 64
"""Rows that are blended at once, for little memory."""

_WIDE_MODES = ("I;16", "I;16L", "I;16B", "I")
"""Modes of Pillow with 16 bits a sample."""


def as_images(images: Any) -> tuple[list[RgbImage], bool]:
    """Return images as a list, and whether it was one image.

    Each is ``uint8 (H, W, 3)``. Floats count as 0–1 if no value of any of the images exceeds 1, else as 0–255. An alpha
    channel is blended over white, as in files.

    Args:
        images: array or tensor ``(H, W, 3)``, ``(H, W, 4)`` or with a first axis for many; a Pillow image; a path; or a
            list of these.

    Raises:
        OptionError: no images, or of another shape, type or range.
        SourceError: a file cannot be read.
    """
    if isinstance(images, (list, tuple)):
        arrays = [_as_array(image) for image in images]
        is_single = False
    else:
        array = _as_array(images)
        is_single = array.ndim == 3
        arrays = [array] if is_single else list(array) if array.ndim == 4 else []
        if not arrays:
            raise OptionError(f"images of shape {array.shape}", expected=_EXPECTED)
    if not arrays:
        raise OptionError("an empty list of images", expected=_EXPECTED)
    for image in arrays:
        if image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
            raise OptionError(f"an image of shape {image.shape}", expected=_EXPECTED)
    floats = [image for image in arrays if image.dtype.kind == "f"]
    unit = 255.0 if floats and max(float(image.max()) for image in floats) <= 1 else 1.0
    return [_blend_over_white(_to_uint8(image, unit)) for image in arrays], is_single


def _as_array(image: Any) -> NDArray[Any]:
    if isinstance(image, (str, os.PathLike)):
        return _read_image(Path(image))
    if isinstance(image, Image.Image):
        return _from_pillow(image)
    return np.asarray(image)


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            image = Image.open(path, formats=_known_formats())
        with image:
            _check_size(path, image)
            return _from_pillow(ImageOps.exif_transpose(image))
    except SourceError:
        raise
    except FileNotFoundError:
        raise SourceError(f"no such file: {path}", expected="the path of an image") from None
    except Image.DecompressionBombError:
        raise _too_large(path, "too many") from None
    except UnidentifiedImageError:
        raise SourceError(
            f"{path} is not an image that can be read",
            expected=", ".join(_FORMATS),
            hint="use streamcam.process or streamcam.frames for videos",
        ) from None
    except Exception as error:  # decoders raise many kinds for damaged files
        raise SourceError(f"{path} cannot be read: {describe_error(error)}") from error


@functools.cache
def _known_formats() -> tuple[str, ...]:
    """Return the formats that this build of Pillow has."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(path: Path, image: Image.Image) -> None:
    """Refuse a large image before it is decoded: a small file can declare any size."""
    if image.width * image.height > DEFAULT_MAX_PIXELS:
        raise _too_large(path, f"{image.width}x{image.height}")


def _too_large(path: Path, pixels: str) -> SourceError:
    return SourceError(
        f"{path} has {pixels} pixels",
        expected=f"at most {DEFAULT_MAX_PIXELS}",
        hint="scale it down, or pass it as an array",
    )


def _from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _WIDE_MODES:
        samples = np.rint(np.clip(np.asarray(image, np.float64) / 257, 0, 255)).astype(np.uint8)
        return np.repeat(samples[..., None], 3, axis=2)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _to_uint8(image: NDArray[Any], unit: float) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind not in "fiu":
        raise OptionError(f"an image of {image.dtype}", expected="uint8, or numbers from 0 to 1 or from 0 to 255")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 255):
        raise OptionError(
            f"an image with values from {low:g} to {high:g}",
            expected="0 to 1 or 0 to 255",
            hint="pass the image before the model's preprocessing, and scale 16-bit samples down",
        )
    scaled: NDArray[np.uint8] = np.rint(image * unit if image.dtype.kind == "f" else image).astype(np.uint8)
    return scaled


def _blend_over_white(image: NDArray[np.uint8]) -> RgbImage:
    if image.shape[2] == 3:
        return image
    blended = np.empty((*image.shape[:2], 3), np.uint8)
    for top in range(0, len(image), _STRIPE_ROWS):
        stripe = image[top : top + _STRIPE_ROWS]
        color, alpha = stripe[..., :3].astype(np.uint16), stripe[..., 3:].astype(np.uint16)
        blended[top : top + _STRIPE_ROWS] = (color * alpha + 255 * (255 - alpha) + 127) // 255
    return blended
