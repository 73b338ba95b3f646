"""Color definitions of video: matrices, ranges, transfer functions, and the color tags of frames.

Formulas: sRGB is IEC 61966-2-1, matrices and ranges are ITU-R BT.601, BT.709 and BT.2020, PQ is SMPTE ST 2084, HLG is
ITU-R BT.2100, and their reference white of 203 cd/m² is ITU-R BT.2408.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frames import ColorSpec, SourceInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Floats: TypeAlias = NDArray[np.float64]

LIMITED_RANGE, FULL_RANGE = 1, 2
"""Values of `ColorSpec.range`, as FFmpeg's scaler takes them."""

BT601_MATRIX, BT709_MATRIX = 5, 1
"""Code points of matrices, as FFmpeg's scaler takes them."""

LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Weights of red and blue in luma, by the matrix that `ColorSpec.resolve_matrix` returns."""

BT2020_LUMA = (0.2627, 0.6780, 0.0593)
"""Weights of red, green and blue in the luminance of BT.2020."""

BT709_TO_BT2020 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
)
BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
"""Linear light between the primaries of BT.709 (and sRGB) and BT.2020."""

PQ_TRANSFER, HLG_TRANSFER = 16, 18
"""Code points of the HDR transfer functions."""

REFERENCE_WHITE_NITS = 203.0
PQ_PEAK_NITS = 10_000.0
HLG_PEAK_NITS = 1_000.0
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2


def color_tags(frame: VideoFrame) -> ColorSpec:
    """Return the color tags of a frame.

    A format that implies full range counts as a tag.
    """
    return ColorSpec(
        range=FULL_RANGE if frame.format.name.startswith("yuvj") else int(frame.color_range),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        matrix=int(frame.colorspace),
    )


def set_color_tags(frame: VideoFrame, color: ColorSpec) -> VideoFrame:
    """Tag a frame with a color and return it."""
    frame.color_range = color.range
    frame.color_primaries = color.primaries
    frame.color_trc = color.transfer
    frame.colorspace = color.matrix
    return frame


def scaler_color(color: ColorSpec, width: int, height: int) -> tuple[int, int]:
    """Return matrix and range of an image, in FFmpeg's scaler codes.

    They depend on the image's size.
    """
    return color.resolve_matrix(width, height), FULL_RANGE if color.range == FULL_RANGE else LIMITED_RANGE


def rgb_to_ycbcr(rgb: Floats, info: SourceInfo) -> Floats:
    """Convert sRGB colors to a stream's code values, not rounded.

    Args:
        rgb: ``(n, 3)``, sRGB, 0–1.
        info: the stream.

    Returns:
        ``(n, 3)``: Y', Cb, Cr as code values, clipped to the range of the stream's samples.
    """
    red_weight, blue_weight = LUMA_WEIGHTS[info.color.resolve_matrix(info.width, info.height)]
    red, green, blue = _HDR[info.color.transfer](rgb).T if info.color.is_hdr else rgb.T
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    bits = 10 if info.pixel_format.endswith("10le") else 8
    peak, middle = 2**bits - 1, 2 ** (bits - 1)
    if info.color.range == FULL_RANGE:
        values = [luma * peak, *(middle + peak * c for c in chroma)]
    else:
        unit = 2 ** (bits - 8)
        values = [(16 + 219 * luma) * unit, *(middle + 224 * unit * c for c in chroma)]
    clipped: Floats = np.clip(np.stack(values, axis=1), 0, peak)
    return clipped


def ycbcr_to_rgb(color: ColorSpec, width: int, height: int) -> tuple[Floats, Floats]:
    """Return the affine map from 8-bit Y'CbCr to R'G'B'.

    Y', Cb and Cr are code values; R', G' and B' range from 0 to 255.

    Returns:
        A matrix ``(3, 3)`` and the offset to add after it, ``(3,)``.
    """
    red, blue = LUMA_WEIGHTS[color.resolve_matrix(width, height)]
    green = 1 - red - blue
    from_ypbpr = np.array(
        [
            [1, 0, 2 - 2 * red],
            [1, -blue * (2 - 2 * blue) / green, -red * (2 - 2 * red) / green],
            [1, 2 - 2 * blue, 0],
        ]
    )
    is_full_range = color.range == FULL_RANGE
    scale = np.array([1.0, 1.0, 1.0]) if is_full_range else 255 / np.array([219.0, 224.0, 224.0])
    matrix = from_ypbpr * scale
    return matrix, -matrix @ np.array([0 if is_full_range else 16, 128, 128])


def _to_linear_bt2020(rgb: Floats) -> Floats:
    """Convert sRGB colors to linear light in the primaries of BT.2020.

    White is 1.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    light: Floats = linear @ BT709_TO_BT2020.T
    return light


def _pq(rgb: Floats) -> Floats:
    powered = (_to_linear_bt2020(rgb) * (REFERENCE_WHITE_NITS / PQ_PEAK_NITS)) ** (2610 / 16384)
    signal: Floats = ((3424 / 4096 + 2413 / 128 * powered) / (1 + 2392 / 128 * powered)) ** (2523 / 32)
    return signal


def _hlg(rgb: Floats) -> Floats:
    display_light = _to_linear_bt2020(rgb) * (REFERENCE_WHITE_NITS / HLG_PEAK_NITS)
    luminance = np.maximum(display_light @ BT2020_LUMA, 1e-9)[:, None]
    scene_light = display_light * luminance ** ((1 - _HLG_GAMMA) / _HLG_GAMMA)
    signal: Floats = np.where(
        scene_light <= 1 / 12,
        np.sqrt(3 * scene_light),
        HLG_A * np.log(np.maximum(12 * scene_light - HLG_B, 1e-9)) + HLG_C,
    )
    return signal


_HDR: dict[int, Callable[[Floats], Floats]] = {PQ_TRANSFER: _pq, HLG_TRANSFER: _hlg}
