"""Several frames or images in one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame

from ..errors import SinkError
from ..frames import RgbImage
from ..media.image_bytes import encode_rgb
from ..media.rgb import to_rgb

_BACKGROUND, _TEXT_LEVEL, _FONT_WEIGHT, _JPEG_QUALITY = 24, 230, 500, 80
_MIN_TEXT_HEIGHT = 11


def write_contact_sheet(video_frames: Sequence[VideoFrame], columns: int, path: Path) -> None:
    """Write frames as one PNG, with narrow dark gaps.

    They run from left to right and top to bottom.

    Args:
        video_frames: at least one; those of another size than the first are scaled to it.
        columns: frames in a row.
        path: file to write.

    Raises:
        SinkError: the file cannot be written.
    """
    _write(draw_sheet([to_rgb(video_frame) for video_frame in video_frames], None, columns), path)


def write_titled_sheet(images: Sequence[RgbImage], titles: Sequence[str], columns: int, path: Path) -> None:
    """Write images as one, each below its title.

    Args:
        images: ``uint8 (H, W, 3)``, RGB, at least one; those of another size than the first are scaled to it.
        titles: one for each.
        columns: images in a row.
        path: file to write; its suffix is ``.png`` or ``.jpg``.

    Raises:
        SinkError: the file cannot be written.
    """
    _write(draw_sheet(images, titles, columns), path)


def draw_sheet(images: Sequence[RgbImage], titles: Sequence[str] | None, columns: int) -> RgbImage:
    """Return images as one, with narrow dark gaps.

    Args:
        images: as for `write_titled_sheet`.
        titles: one for each; None for no titles. All are drawn smaller, down to 11 pixels, if one does not fit.
        columns: images in a row.

    Returns:
        ``uint8 (H, W, 3)`` RGB.
    """
    height, width = images[0].shape[:2]
    gap = max(2, min(width, height) // 60)
    font = cv2.FontFace("sans")
    line_height = text_height = max(_MIN_TEXT_HEIGHT, height // 11)
    while text_height > _MIN_TEXT_HEIGHT and any(
        cv2.getTextSize((0, 0), title, (0, 0), font, text_height, _FONT_WEIGHT)[2] > width - 2 for title in titles or ()
    ):
        text_height -= 1
    title_height = 0 if titles is None else round(line_height * 1.5)
    rows = -(-len(images) // columns)
    sheet = np.full(
        (rows * (title_height + height + gap) + gap, columns * (width + gap) + gap, 3), _BACKGROUND, np.uint8
    )
    for index, image in enumerate(images):
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        top, left = gap + index // columns * (title_height + height + gap), gap + index % columns * (width + gap)
        if titles is not None:
            cv2.putText(
                sheet, titles[index], (left + 2, top + line_height), (_TEXT_LEVEL,) * 3, font, text_height, _FONT_WEIGHT
            )
        sheet[top + title_height : top + title_height + height, left : left + width] = image
    return sheet


def scale_image(image: RgbImage, side: int) -> RgbImage:
    """Scale an image to a length of its longer side.

    Args:
        image: ``uint8 (H, W, 3)``.
        side: the length in pixels.
    """
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(
        cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA), np.uint8
    )


def _write(sheet: RgbImage, path: Path) -> None:
    try:
        path.write_bytes(encode_rgb(sheet, path.suffix, quality=_JPEG_QUALITY))
    except OSError as error:
        raise SinkError(
            f"{path}: {error.strerror or error}", hint="choose another place for the contact sheet"
        ) from error
