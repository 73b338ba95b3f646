"""Translucent plates with text, on which captions and the legend stand."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import SourceInfo
from ..geometry import Size
from ..media.color import rgb_to_ycbcr
from ..media.planes import sample_dtype
from .yuv import BlendOp, blend_coefficients

_BOX_OPACITY = 0.62
_BOX_GRAY = 0.05
_TINY = np.float32(1e-9)

Floats = NDArray[np.floating[Any]]


class PlateMaker:
    """Makes plates for one stream.

    Args:
        info: the stream.
    """

    def __init__(self, info: SourceInfo) -> None:
        (dark, neutral, _), (white, _, _) = rgb_to_ycbcr(np.array([[_BOX_GRAY] * 3, [1.0] * 3]), info)
        self._dark, self._neutral, self._white = float(dark), float(neutral), float(white)
        self._dtype = sample_dtype(info.pixel_format)

    def __call__(self, shape: Floats, ink: NDArray[np.uint8]) -> BlendOp:
        """Return text over plate over image, in code values.

        Args:
            shape: opacity of the plate, float32 ``(height, width)``, both even, 0–1.
            ink: opacity of white text on it, ``(height, width)``, 0–255.
        """
        text_opacity = ink * np.float32(1 / 255)
        box_opacity = 1 - text_opacity
        box_opacity *= shape
        box_opacity *= _BOX_OPACITY
        opacity = box_opacity + text_opacity
        color = box_opacity
        color *= self._dark
        text_opacity *= self._white
        color += text_opacity
        color /= np.maximum(opacity, _TINY)
        block_opacity = _block_means(opacity)
        luma_keep, luma_add = blend_coefficients(self._dtype, opacity, color)
        neutral = np.float32(self._neutral)
        chroma_keep, chroma_add = blend_coefficients(self._dtype, block_opacity, neutral)
        return BlendOp(luma_keep, luma_add, chroma_keep, chroma_add, chroma_add)


def add_image(op: BlendOp, info: SourceInfo, rgb: NDArray[np.float64], top: int, left: int) -> BlendOp:
    """Return a plate with an opaque image on it.

    Args:
        op: the plate, as from `PlateMaker`; not changed.
        info: the stream.
        rgb: sRGB colors of 2×2 blocks, ``(h, w, 3)``, 0–1.
        top: the image's upper edge, in blocks.
        left: its left edge, in blocks.
    """
    dtype = sample_dtype(info.pixel_format)
    height, width = rgb.shape[:2]
    codes = rgb_to_ycbcr(rgb.reshape(-1, 3), info).reshape(height, width, 3)
    opaque = np.ones((height, width))
    planes = [plane.copy() for plane in (op.luma_keep, op.luma_add, op.chroma_keep, op.blue_add, op.red_add)]
    keep, luma_add = blend_coefficients(dtype, opaque, codes[..., 0])
    area = np.s_[top : top + height, left : left + width]
    luma_area = np.s_[2 * top : 2 * (top + height), 2 * left : 2 * (left + width)]
    planes[0][luma_area] = keep.repeat(2, 0).repeat(2, 1)
    planes[1][luma_area] = luma_add.repeat(2, 0).repeat(2, 1)
    planes[2][area] = keep
    for plane, channel in zip(planes[3:], (1, 2), strict=True):
        plane[area] = blend_coefficients(dtype, opaque, codes[..., channel])[1]
    return BlendOp(*planes)


def _block_means(values: Floats) -> Floats:
    """Return the mean of each 2×2 block."""
    pairs = values[0::2] + values[1::2]
    means: Floats = (pairs[:, 0::2] + pairs[:, 1::2]) / 4
    return means


@lru_cache(maxsize=8)
def rounded_rectangle(size: Size, radius: float) -> Floats:
    """Return a rectangle with round corners, float32 ``(height, width)``, 0–1, anti-aliased."""
    width, height = size
    across = np.abs(np.arange(width) + 0.5 - width / 2)[None, :] - (width / 2 - radius)
    down = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] - (height / 2 - radius)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) - radius
    inside: Floats = np.clip(0.5 - outside, 0, 1).astype(np.float32)
    return inside
