"""Pictures of a video as ordinary images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame

from ..errors import SinkError
from ..frames import Colour, Pixels


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
    height, width = pictures[0].height, pictures[0].width
    gap = max(2, min(width, height) // 60)
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 24, np.uint8)
    for place, picture in enumerate(pictures):
        image = to_rgb(picture)
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        top, left = gap + place // columns * (height + gap), gap + place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    _, encoded = cv2.imencode(".png", sheet[..., ::-1])
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise SinkError(
            f"{path}: {error.strerror or error}", do="choose another place for the contact sheet"
        ) from error
