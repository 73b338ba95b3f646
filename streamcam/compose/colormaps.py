"""Colours as the numbers a video stream holds: from sRGB to its own Y'CbCr.

Formulas: sRGB is IEC 61966-2-1, matrices and ranges are ITU-R BT.601, BT.709 and BT.2020, PQ and HLG are
BT.2100, and their reference white of 203 cd/m² is BT.2408.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import SourceInfo
from ..options import Colormap

Floats: TypeAlias = NDArray[np.float64]

LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""What `Colour.matrix_of` gives: weights of red and blue in luma."""

_RDBU_COLORS = "b2182b d6604d f4a582 fddbc7 f7f7f7 d1e5f0 92c5de 4393c3 2166ac"

_BT709_TO_BT2020 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)
_REFERENCE_WHITE = 203.0
_PQ_PEAK = 10_000.0
_HLG_PEAK = 1_000.0
_HLG_GAMMA = 1.2


def rgb_to_ycbcr(rgb: Floats, info: SourceInfo) -> Floats:
    """What the stream writes for some colours, not rounded.

    Args:
        rgb: ``(n, 3)``, sRGB, 0–1.
        info: the stream.

    Returns:
        ``(n, 3)``: Y', Cb, Cr as code values, within what the stream's samples can hold.
    """
    red_weight, blue_weight = LUMA_WEIGHTS[info.color.resolve_matrix(info.width, info.height)]
    red, green, blue = _HDR[info.color.transfer](rgb).T if info.color.is_hdr else rgb.T
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    bits = 10 if info.pixel_format.endswith("10le") else 8
    peak, middle = 2**bits - 1, 2 ** (bits - 1)
    if info.color.range == 2:
        values = [luma * peak, *(middle + peak * c for c in chroma)]
    else:
        unit = 2 ** (bits - 8)
        values = [(16 + 219 * luma) * unit, *(middle + 224 * unit * c for c in chroma)]
    clipped: Floats = np.clip(np.stack(values, axis=1), 0, peak)
    return clipped


def colormap(name: Colormap, count: int) -> Floats:
    """A colour map as ``(count, 3)`` sRGB, 0–1, for evidence from none to full."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8), getattr(cv2, f"COLORMAP_{name.upper()}"))
    rgb = table.reshape(256, 3)[:, ::-1] / 255.0
    positions = np.linspace(0, 255, count)
    return np.stack([np.interp(positions, np.arange(256), channel) for channel in rgb.T], axis=1)


def rdbu_colormap(count: int) -> Floats:
    """Colours for evidence from full against (blue) over none (near white) to full for (red), ``(count, 3)`` sRGB, 0–1.

    RdBu of ColorBrewer (C. Brewer, M. Harrower, Pennsylvania State University; Apache-2.0), interpolated.
    """
    anchors = np.array([[int(code[n : n + 2], 16) / 255 for n in (0, 2, 4)] for code in _RDBU_COLORS.split()])[::-1]
    positions = np.linspace(0, len(anchors) - 1, count)
    return np.stack([np.interp(positions, np.arange(len(anchors)), channel) for channel in anchors.T], axis=1)


def _to_linear_bt2020(rgb: Floats) -> Floats:
    """Light of sRGB colours, 1 being white, in the primaries of BT.2020."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    light: Floats = linear @ _BT709_TO_BT2020.T
    return light


def _pq(rgb: Floats) -> Floats:
    powered = (_to_linear_bt2020(rgb) * (_REFERENCE_WHITE / _PQ_PEAK)) ** (2610 / 16384)
    signal: Floats = ((3424 / 4096 + 2413 / 128 * powered) / (1 + 2392 / 128 * powered)) ** (2523 / 32)
    return signal


def _hlg(rgb: Floats) -> Floats:
    display_light = _to_linear_bt2020(rgb) * (_REFERENCE_WHITE / _HLG_PEAK)
    luminance = np.maximum(display_light @ [0.2627, 0.6780, 0.0593], 1e-9)[:, None]
    scene_light = display_light * luminance ** ((1 - _HLG_GAMMA) / _HLG_GAMMA)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal: Floats = np.where(
        scene_light <= 1 / 12, np.sqrt(3 * scene_light), a * np.log(np.maximum(12 * scene_light - b, 1e-9)) + c
    )
    return signal


_HDR: dict[int, Callable[[Floats], Floats]] = {16: _pq, 18: _hlg}
