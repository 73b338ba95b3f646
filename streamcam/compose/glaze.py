"""Evidence laid over a picture: colour and opacity of each level, and the planes they change."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..config import DrawOptions
from ..frames import Display, Plane, Planes, SourceInfo, word_of
from . import compiled
from .palette import codes, colours, diverging
from .planes import Brush, Paint, even, keep_and_add, staggered, wide
from .spread import LEVELS, Levels


def opacity(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the overlay's strength some evidence gets.

    The curve starts and ends flat (`smoothstep`), so that neither the rim nor the plateau of a hot region
    shows an edge.

    Args:
        evidence: 0–1.

    Returns:
        0–1, the same shape; exactly 0 for 0 and 1 for 1.
    """
    return evidence**2 * (3 - 2 * evidence)


def look(options: DrawOptions, display: Display) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each level of evidence looks like, from ``1 - LEVELS`` on where it is signed and from 0 on elsewhere.

    Returns:
        Opacity ``(n,)``, 0–1, and colour ``(n, 3)``, sRGB, 0–1.
    """
    evidence = np.linspace(-1, 1, 2 * LEVELS - 1) if display == "signed" else np.linspace(0, 1, LEVELS)
    strength = np.ones(len(evidence))
    if options.layout != "heatmap":
        # Maps of pixels have neither rims nor plateaus, and much of them is faint.
        strength = options.alpha * (opacity(evidence) if display == "heat" else np.abs(evidence))
    return strength, diverging(len(evidence)) if display == "signed" else colours(options.colormap, LEVELS)


def paint_of_levels(options: DrawOptions, info: SourceInfo, display: Display) -> tuple[Plane, int]:
    """What the levels of evidence do to a picture; see `Paint`.

    Returns:
        ``keep`` and what is added to luma, Cb and Cr, ``(levels, 4)``; and the lowest level, that of the first line.
    """
    strength, colour = look(options, display)
    keep, add = keep_and_add(word_of(info.pixel_format), strength[:, None], codes(colour, info))
    return np.concatenate([keep, add], axis=1), LEVELS - len(strength)


class Glaze:
    """Lays levels of evidence over the pictures of one stream. Not thread-safe: it keeps arrays.

    Args:
        options: how the picture looks.
        info: the source.
        display: how the maps are shown.
        brush: of the pictures.

    Attributes:
        least: the lowest level that is visible; above all levels when none is.
    """

    def __init__(self, options: DrawOptions, info: SourceInfo, display: Display, brush: Brush) -> None:
        looks, lowest = paint_of_levels(options, info, display)
        visible = np.flatnonzero(looks[-lowest:, 0] < wide(word_of(info.pixel_format))[1])
        self.least = int(visible[0]) if visible.size else 2 * LEVELS
        self._lay = compiled.lay(looks, lowest) or _InPasses(looks, lowest, info, brush)

    def __call__(self, levels: Levels, planes: Planes, top: int, left: int) -> None:
        """Lays levels over a picture whose upper left corner is at chroma sample ``(top, left)``."""
        if not levels.values.size:
            return
        height, width = levels.values.shape
        top, left = top + levels.top, left + levels.left
        luma, blue, red = planes
        block, area = (np.s_[n * top : n * (top + height), n * left : n * (left + width)] for n in (2, 1))
        self._lay(levels.values, (luma[block], blue[area], red[area]))


class _InPasses:
    """The same as `lay.c`, sample for sample: what the levels do is looked up first, and then done."""

    def __init__(self, looks: Plane, lowest: int, info: SourceInfo, brush: Brush) -> None:
        self._brush = brush
        # `cv2.LUT` (5.0) takes int16 for uint16, so levels below 0 are looked up in the upper half. It moves
        # float64 without a look at it: four 16-bit words or two 32-bit ones at once.
        every_level = np.clip(np.arange(2**16, dtype=np.uint16).view(np.int16), lowest, LEVELS - 1) - lowest
        table = looks[every_level].view(np.float64)
        self._tables = [np.ascontiguousarray(column) for column in table.T]
        blocks = even(info.width) // 2 * (even(info.height) // 2)
        # Kept from frame to frame: fresh memory would cost more than what is done in it.
        self._found = np.empty(blocks, np.float64)
        self._planes = staggered(4, blocks, np.dtype(f"i{looks.itemsize}"))

    def __call__(self, levels: Plane, planes: Planes) -> None:
        self._brush.apply(self._paint(levels), planes, 0, 0)

    def _paint(self, levels: Plane) -> Paint:
        """The paint for some levels, in arrays that the next call overwrites."""
        shape, size = levels.shape, levels.size
        found = self._found[:size].reshape(shape)
        planes = [plane[:size].reshape(shape) for plane in self._planes]
        together = 4 // len(self._tables)
        for place, table in enumerate(self._tables):
            cv2.LUT(levels.view(np.uint16), table, dst=found)
            words = found.view(self._planes.dtype).reshape(*shape, together)
            cv2.split(words, planes[place * together : (place + 1) * together])
        keep, luma, blue, red = (plane.view(f"u{plane.itemsize}") for plane in planes)
        return Paint(keep, luma, keep, blue, red)
