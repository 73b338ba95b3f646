"""Pictures of a video as ordinary images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame

from ..errors import SinkError
from ..frames import Colour, Pixels

_DARK, _LIGHT, _WEIGHT, _QUALITY = 24, 230, 500, 80


def to_rgb(picture: VideoFrame) -> Pixels:
    """A picture as ``uint8 (height, width, 3)``, RGB, full range, by its own colour tags.

    A picture that tells no matrix counts as BT.601 or BT.709 by its size; one that tells no range, as limited.
    """
    converted = picture.reformat(
        format="rgb24",
        src_colorspace=Colour(matrix=int(picture.colorspace)).matrix_of(picture.width, picture.height),
        src_color_range=int(picture.color_range) or 1,
        dst_color_range=2,
    )
    return np.ascontiguousarray(converted.to_ndarray())


def contact_sheet(pictures: Sequence[VideoFrame], columns: int, path: Path) -> None:
    """Writes pictures as one PNG, left to right and top to bottom, with a narrow dark gap.

    Args:
        pictures: at least one; those of another size than the first are scaled to it.
        columns: pictures in a row.
        path: file to write.

    Raises:
        SinkError: the file cannot be written.
    """
    _write([to_rgb(picture) for picture in pictures], None, columns, path)


def titled_sheet(images: Sequence[Pixels], titles: Sequence[str], columns: int, path: Path) -> None:
    """Writes images as one picture, each below its title.

    Args:
        images: ``uint8 (H, W, 3)``, RGB, at least one; those of another size than the first are scaled to it.
        titles: one for each.
        columns: images in a row.
        path: file to write; its suffix, ``.png`` or ``.jpg``, says how.

    Raises:
        SinkError: the file cannot be written.
    """
    _write(images, titles, columns, path)


def _write(images: Sequence[Pixels], titles: Sequence[str] | None, columns: int, path: Path) -> None:
    height, width = images[0].shape[:2]
    gap = max(2, min(width, height) // 60)
    text = max(11, height // 11)
    head = 0 if titles is None else round(text * 1.5)
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (head + height + gap) + gap, columns * (width + gap) + gap, 3), _DARK, np.uint8)
    font = cv2.FontFace("sans")
    for place, image in enumerate(images):
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        top, left = gap + place // columns * (head + height + gap), gap + place % columns * (width + gap)
        if titles is not None:
            cv2.putText(sheet, titles[place], (left + 2, top + text), (_LIGHT,) * 3, font, text, _WEIGHT)
        sheet[top + head : top + head + height, left : left + width] = image
    settings = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    _, encoded = cv2.imencode(path.suffix, sheet[..., ::-1], settings)
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise SinkError(
            f"{path}: {error.strerror or error}", do="choose another place for the contact sheet"
        ) from error
