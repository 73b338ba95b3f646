"""From an explained frame to the picture that is shown."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame

from ..config import DrawOptions
from ..frames import Display, Evidence, Explained, Frame, Planes, SourceInfo, planes_of, word_of
from ..geometry import Geometry, Size
from .caption import SMALLEST_PICTURE, Captions
from .glaze import Glaze
from .palette import codes
from .panels import panels_of
from .planes import Brush, copy_into, even
from .spread import Spread


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
        self._display = display
        self._panels = panels_of(options, info, panels)
        self._brush = Brush(word_of(info.pixel_format), self.size)
        self._glaze = Glaze(options, info, display, self._brush)
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
        levels = self._spread(evidence)(evidence.heatmap, evidence.full_scale, self._glaze.least)
        self._glaze(levels, planes, top, left)
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


def evened(frame: Frame, info: SourceInfo) -> VideoFrame:
    """A frame's picture without anything drawn, of the sides that a drawn one has; itself where they are even."""
    if info.width % 2 == 0 and info.height % 2 == 0:
        return frame.picture
    picture = VideoFrame(even(info.width), even(info.height), info.pixel_format)
    copy_into(planes_of(picture), planes_of(frame.picture))
    return tagged(picture, frame, info)


def tagged(picture: VideoFrame, frame: Frame, info: SourceInfo) -> VideoFrame:
    """A drawn picture with the time of its frame and the colour tags of its source."""
    picture.pts, picture.time_base, picture.duration = frame.pts, info.time_base, frame.picture.duration
    colour = info.colour
    picture.color_range, picture.colorspace = colour.range, colour.matrix
    picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
    return picture
