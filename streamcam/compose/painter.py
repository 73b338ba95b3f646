"""From an explained frame to the picture that is shown."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ..config import DrawOptions
from ..frames import Display, Evidence, Explained, Frame, Plane, Planes, SourceInfo, planes_of, word_of
from ..geometry import Geometry, Size
from .caption import SMALLEST_PICTURE, Captions
from .palette import codes, colours, diverging
from .panels import panels_of
from .planes import Brush, Paint, copy_into, even, keep_and_add, staggered, wide
from .spread import LEVELS, Levels, Spread


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


class Painter:
    """Draws the frames of one stream on its own Y'CbCr planes.

    The picture is untouched where there is no evidence, sample for sample; elsewhere it is blended with the
    colour map by an opacity that follows the evidence. Evidence, and with it colour and opacity, has one
    value for each 2×2 block of pixels: the grid of the stream's chroma.

    Not thread-safe: one painter serves one thread, since it draws in arrays that it keeps.

    Several targets are drawn in a panel each, side by side and then below one another.

    Args:
        options: how the picture looks.
        info: the source.
        geometry: how the source's pictures lie in the model's input.
        detail: what made the evidence, for the caption's second line.
        panels: how many targets there are.
        display: how the maps are shown.
    """

    def __init__(
        self,
        options: DrawOptions,
        info: SourceInfo,
        geometry: Geometry,
        *,
        detail: str,
        panels: int = 1,
        display: Display = "heat",
    ) -> None:
        self._options = options
        self._info = info
        self._geometry = geometry
        self._word = word_of(info.pixel_format)
        self._display = display
        self._panels = panels_of(options, info, panels)
        self._paints = _Paints(options, info, self._word, display)
        self._brush = Brush(self._word, self.size)
        self._spreads: dict[Size, Spread] = {}
        self._captions: Captions | None = None
        if options.caption and min(info.width, info.height) >= SMALLEST_PICTURE:
            self._captions = Captions(info, self._panels.panel, detail, panels)

    @property
    def size(self) -> Size:
        """``(width, height)`` of the pictures drawn; both even."""
        return self._panels.size

    def draw(self, item: Explained) -> VideoFrame:
        """Draws one frame.

        Args:
            item: a frame of this painter's source; its picture is only read.

        Returns:
            A new picture of this painter's `size`, in the source's pixel format, with its time and colour tags.
        """
        picture = VideoFrame(*self.size, self._info.pixel_format)
        planes = planes_of(picture)
        source = planes_of(item.frame.picture)
        places, used = self._panels.places, self._panels.plain + self._panels.drawn
        for top, left in places[:used]:
            copy_into(planes, source, top, left)
        for top, left in places[used:]:
            self._blacken(planes, top, left)
        for evidence, (top, left) in zip(item.evidence, places[used - len(item.evidence) : used], strict=True):
            self._show(evidence, item.note, planes, top // 2, left // 2)
        return tagged(picture, item.frame, self._info)

    def _show(self, evidence: Evidence, note: str, planes: Planes, top: int, left: int) -> None:
        """Draws one target on the panel whose upper left corner is at that chroma sample."""
        levels = self._spread(evidence)(evidence.heatmap, evidence.full_scale, self._paints.least)
        if levels.values.size:
            self._brush.apply(self._paints(levels), planes, top + levels.top, left + levels.left)
        if self._captions is not None:
            plate = self._captions.plate(evidence, note)
            self._brush.apply(plate.paint, planes, top + plate.top, left + plate.left)

    def _blacken(self, planes: Planes, top: int, left: int) -> None:
        width, height = self._panels.panel
        for plane, code, size in zip(planes, codes(np.zeros((1, 3)), self._info)[0], (1, 2, 2), strict=True):
            plane[top // size : (top + height) // size, left // size : (left + width) // size] = round(code)

    def _spread(self, evidence: Evidence) -> Spread:
        height, width = evidence.heatmap.shape
        if (width, height) not in self._spreads:
            signed = self._display == "signed"
            self._spreads[width, height] = Spread(self._geometry, (width, height), signed=signed)
        return self._spreads[width, height]


def tagged(picture: VideoFrame, frame: Frame, info: SourceInfo) -> VideoFrame:
    """A drawn picture with the time of its frame and the colour tags of its source."""
    picture.pts, picture.time_base, picture.duration = frame.pts, info.time_base, frame.picture.duration
    colour = info.colour
    picture.color_range, picture.colorspace = colour.range, colour.matrix
    picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
    return picture


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


class _Paints:
    """Looks up what the levels of evidence do to a picture.

    Attributes:
        least: the lowest level that is visible; above all levels when none is.
    """

    def __init__(self, options: DrawOptions, info: SourceInfo, word: np.dtype[Any], display: Display) -> None:
        kind, one = wide(word)
        paint, lowest = paint_of_levels(options, info, display)
        visible = np.flatnonzero(paint[-lowest:, 0] < one)
        self.least = int(visible[0]) if visible.size else 2 * LEVELS
        # `cv2.LUT` (5.0) takes int16 for uint16, so levels below 0 are looked up in the upper half. It moves
        # float64 without a look at it: four 16-bit words or two 32-bit ones at once.
        every_level = np.clip(np.arange(2**16, dtype=np.uint16).view(np.int16), lowest, LEVELS - 1) - lowest
        table = paint[every_level].view(np.float64)
        self._tables = [np.ascontiguousarray(column) for column in table.T]
        blocks = even(info.width) // 2 * (even(info.height) // 2)
        # Kept from frame to frame: fresh memory would cost more than what is done in it.
        self._found = np.empty(blocks, np.float64)
        self._planes = staggered(4, blocks, np.dtype(kind.str.replace("u", "i")))

    def __call__(self, levels: Levels) -> Paint:
        """The paint for some levels, in arrays that the next call overwrites."""
        shape, size = levels.values.shape, levels.values.size
        found = self._found[:size].reshape(shape)
        planes = [plane[:size].reshape(shape) for plane in self._planes]
        together = 4 // len(self._tables)
        for place, table in enumerate(self._tables):
            cv2.LUT(levels.values.view(np.uint16), table, dst=found)
            words = found.view(self._planes.dtype).reshape(*shape, together)
            cv2.split(words, planes[place * together : (place + 1) * together])
        keep, luma, blue, red = (plane.view(f"u{plane.itemsize}") for plane in planes)
        return Paint(keep, luma, keep, blue, red)
