"""Captions and color bars on RGB images, for notebooks and image files."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import MapKind, RgbImage
from ..options import DrawOptions
from .overlay import opacity_and_color

_TITLE_RATIO, _DETAIL_RATIO = 0.044, 0.03
"""Text heights over the shorter side of the image, as in videos."""

_MIN_TITLE, _MIN_DETAIL = 11, 9
_TITLE_WEIGHT, _DETAIL_WEIGHT = 600, 400
_TITLE_WHITE, _DETAIL_WHITE = 255, 204
_PLATE_OPACITY, _PLATE_GRAY = 0.62, 13


def caption_image(image: RgbImage, lines: Sequence[str]) -> RgbImage:
    """Draw lines of text on a dark plate, upper left.

    Args:
        image: ``uint8 (H, W, 3)``, RGB; only read.
        lines: a title, then details; empty lines are omitted, and what does not fit is cut.
    """
    height, width = image.shape[:2]
    short = min(height, width)
    font = cv2.FontFace("sans")
    sizes = [max(_MIN_TITLE, round(short * _TITLE_RATIO)), max(_MIN_DETAIL, round(short * _DETAIL_RATIO))]
    padding, margin = max(3, round(sizes[0] * 0.45)), max(1, round(short * 0.0125))
    texts = [
        (text, sizes[n > 0], _DETAIL_WEIGHT if n else _TITLE_WEIGHT, _DETAIL_WHITE if n else _TITLE_WHITE)
        for n, text in enumerate(lines)
        if text
    ]
    box_width = max((cv2.getTextSize((0, 0), text, (0, 0), font, size, weight)[2] for text, size, weight, _ in texts))
    box_height = 2 * padding + sum(round(size * 1.15) for _, size, _, _ in texts)
    plate = np.s_[margin : min(margin + box_height, height), margin : min(margin + box_width + 2 * padding, width)]
    rendered = image.copy()
    rendered[plate] = np.rint(rendered[plate] * (1 - _PLATE_OPACITY) + _PLATE_GRAY * _PLATE_OPACITY)
    ink = np.zeros((height, width), np.uint8)
    top = margin + padding
    for text, size, weight, white in texts:
        cv2.putText(ink, text, (margin + padding, top + round(size * 0.8)), white, font, size, weight)
        top += round(size * 1.15)
    area = rendered[plate]
    np.maximum(area, ink[plate][..., None], out=area)
    return rendered


def color_bar(options: DrawOptions, map_kind: MapKind, length: int) -> NDArray[np.uint8]:
    """Return the colors of attribution over white, from least to largest.

    They are ``uint8 (length, 3)``, RGB.
    """
    opacity, color = opacity_and_color(options, map_kind)
    strength = (opacity / max(float(opacity.max()), 1e-9))[:, None]
    shades = np.rint(255 * (1 - strength + color * strength))
    positions = np.linspace(0, len(shades) - 1, length).astype(int)
    return np.asarray(shades[positions], np.uint8)
