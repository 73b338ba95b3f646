"""A frame that stands in for a missing one, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.frame import VideoFrame

from ..media.color import FULL_RANGE, color_tags, scaler_color, set_color_tags
from ..media.planes import plane_arrays

if TYPE_CHECKING:
    from ..geometry import Size

_TEXT_WIDTH_RATIO, _TEXT_HEIGHT_RATIO = 0.9, 0.06
_TEXT_WEIGHT = 500
_MIN_TEXT_SIZE = 7


def placeholder_frame(like: VideoFrame, text: str) -> VideoFrame:
    """Return a black frame with a line of text in its middle.

    Args:
        like: frame of the same size, pixel format and color.
        text: the line; it is made as small as the width requires.
    """
    color = color_tags(like)
    frame = VideoFrame(like.width, like.height, like.format.name)
    unit = 1 if frame.format.name == "yuv420p" else 4
    is_full_range = scaler_color(color, frame.width, frame.height)[1] == FULL_RANGE
    black, white = (0, 255) if is_full_range else (16, 235)
    luma, *chroma = plane_arrays(frame)
    luma[:] = (black + (white - black) * _text_mask((frame.width, frame.height), text)) * unit
    for plane in chroma:
        plane[:] = 128 * unit
    return set_color_tags(frame, color)


def _text_mask(size: Size, text: str) -> np.ndarray:
    """Return the text as opacity, ``(height, width)``, 0–1."""
    width, height = size
    font, text_size = cv2.FontFace("sans"), max(_MIN_TEXT_SIZE, round(min(size) * _TEXT_HEIGHT_RATIO))
    text_width = _text_width(text, font, text_size)
    if text_width > width * _TEXT_WIDTH_RATIO:
        text_size = max(_MIN_TEXT_SIZE, int(text_size * width * _TEXT_WIDTH_RATIO / text_width))
        text_width = _text_width(text, font, text_size)
    mask = np.zeros((height, width), np.uint8)
    origin = max(0, (width - text_width) // 2), (height + text_size) // 2
    cv2.putText(mask, text, origin, 255, font, text_size, _TEXT_WEIGHT)
    return mask / 255.0


def _text_width(text: str, font: cv2.FontFace, size: int) -> int:
    return int(cv2.getTextSize((0, 0), text, (0, 0), font, size, _TEXT_WEIGHT)[2])
