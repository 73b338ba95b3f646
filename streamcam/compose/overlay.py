"""A heatmap over an image: color and opacity of each level, and the planes they change."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import MapKind, SourceInfo
from ..media.color import rgb_to_ycbcr
from ..media.planes import Plane, Planes, next_even, sample_dtype
from ..options import Colormap, DrawOptions
from . import native as compiled
from .colormaps import colormap
from .upsample import LEVELS, QuantizedMap
from .yuv import BlendOp, PlaneBlender, blend_coefficients, blend_dtype, padded_rows


def smoothstep(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of the overlay's strength that an attribution gets.

    The curve starts and ends flat (`smoothstep`), so that neither the rim nor the plateau of a hot region
    shows an edge.

    Args:
        values: 0–1.

    Returns:
        0–1, the same shape; exactly 0 for 0 and 1 for 1.
    """
    return values**2 * (3 - 2 * values)


def choose_colormap(options: DrawOptions, map_kind: MapKind) -> Colormap | Literal["RdBu_r"]:
    """Return the color map of the options; ``auto`` depends on the map."""
    if options.colormap != "auto":
        return options.colormap
    if map_kind == "signed":
        return "RdBu_r"
    return "gray" if map_kind != "heat" and options.layout == "heatmap" else "turbo"


def level_kind(options: DrawOptions, map_kind: MapKind) -> MapKind:
    """Return how a map becomes levels: a relief alone is signed."""
    return "signed" if map_kind == "relief" and options.layout == "heatmap" else map_kind


def opacity_and_color(options: DrawOptions, map_kind: MapKind) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return color and opacity of each level.

    Levels start at ``1 - LEVELS`` if signed and at 0 otherwise.

    Returns:
        Opacity ``(n,)``, 0–1, and color ``(n, 3)``, sRGB, 0–1.
    """
    is_signed = level_kind(options, map_kind) == "signed"
    values = np.linspace(-1, 1, 2 * LEVELS - 1) if is_signed else np.linspace(0, 1, LEVELS)
    color = colormap(choose_colormap(options, map_kind), len(values))
    if options.layout == "heatmap":
        return np.ones(len(values)), color
    if map_kind == "heat":
        return options.alpha * smoothstep(values), color
    # Pixel maps have neither rims nor plateaus, and are faint in large parts.
    size = np.abs(values)
    if not is_signed:
        return options.alpha * size, color
    # Next to the neutral middle of a diverging map a sign is hardly seen, so the outer half of each side is used.
    positions = (np.sign(values) * (1 + size) / 2 + 1) / 2 * (len(values) - 1)
    return options.alpha * (1 - (1 - size) ** 2), color[np.rint(positions).astype(int)]


def make_blend_table(options: DrawOptions, info: SourceInfo, map_kind: MapKind) -> tuple[Plane, int]:
    """Return the blend coefficients of each level; see `BlendOp`.

    Returns:
        ``keep`` and the values to add to luma, Cb and Cr, ``(levels, 4)``; and the lowest level, of the first line.
    """
    opacity, color = opacity_and_color(options, map_kind)
    keep, add = blend_coefficients(sample_dtype(info.pixel_format), opacity[:, None], rgb_to_ycbcr(color, info))
    return np.concatenate([keep, add], axis=1), LEVELS - len(opacity)


class OverlayBlender:
    """Blends levels into the images of one stream.

    Not thread-safe: it keeps arrays.

    Args:
        options: colors, opacity and layout.
        info: the source.
        map_kind: how the maps are shown.
        blender: of the images.

    Attributes:
        min_visible_level: the lowest level that is visible; above all levels when none is.
    """

    def __init__(self, options: DrawOptions, info: SourceInfo, map_kind: MapKind, blender: PlaneBlender) -> None:
        blend_table, lowest_level = make_blend_table(options, info, map_kind)
        visible = np.flatnonzero(blend_table[-lowest_level:, 0] < blend_dtype(sample_dtype(info.pixel_format))[1])
        self.min_visible_level = int(visible[0]) if visible.size else 2 * LEVELS
        self._blend = compiled.native_blend(blend_table, lowest_level) or _NumpyBlend(
            blend_table, lowest_level, info, blender
        )

    def __call__(self, levels: QuantizedMap, planes: Planes, top: int, left: int) -> None:
        """Blend levels into an image at chroma sample ``(top, left)``."""
        if not levels.values.size:
            return
        height, width = levels.values.shape
        top, left = top + levels.top, left + levels.left
        luma, blue, red = planes
        block, area = (np.s_[n * top : n * (top + height), n * left : n * (left + width)] for n in (2, 1))
        self._blend(levels.values, (luma[block], blue[area], red[area]))


class _NumpyBlend:
    """Blend like `blend.c`, sample for sample.

    All coefficients are computed before the blending.
    """

    def __init__(self, blend_table: Plane, lowest_level: int, info: SourceInfo, blender: PlaneBlender) -> None:
        self._blender = blender
        # `cv2.LUT` (5.0) takes int16 for uint16, so levels below 0 index the upper half. It moves
        # float64 without converting it: four 16-bit words or two 32-bit ones at once.
        every_level = np.clip(np.arange(2**16, dtype=np.uint16).view(np.int16), lowest_level, LEVELS - 1) - lowest_level
        table = blend_table[every_level].view(np.float64)
        self._tables = [np.ascontiguousarray(column) for column in table.T]
        blocks = next_even(info.width) // 2 * (next_even(info.height) // 2)
        # Reused from frame to frame: fresh memory would cost more than the blending.
        self._lookup_buffer = np.empty(blocks, np.float64)
        self._planes = padded_rows(4, blocks, np.dtype(f"i{blend_table.itemsize}"))

    def __call__(self, levels: Plane, planes: Planes) -> None:
        self._blender.apply(self._make_blend_op(levels), planes, 0, 0)

    def _make_blend_op(self, levels: Plane) -> BlendOp:
        """Return the blend coefficients of levels.

        The next call overwrites the arrays.
        """
        shape, size = levels.shape, levels.size
        looked_up = self._lookup_buffer[:size].reshape(shape)
        planes = [plane[:size].reshape(shape) for plane in self._planes]
        values_per_word = 4 // len(self._tables)
        for index, table in enumerate(self._tables):
            cv2.LUT(levels.view(np.uint16), table, dst=looked_up)
            words = looked_up.view(self._planes.dtype).reshape(*shape, values_per_word)
            cv2.split(words, planes[index * values_per_word : (index + 1) * values_per_word])
        keep, luma, blue, red = (plane.view(f"u{plane.itemsize}") for plane in planes)
        return BlendOp(keep, luma, keep, blue, red)
