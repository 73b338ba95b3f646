"""Drawing an explained frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from ..frames import Attribution, CaptionFacts, ExplainedFrame, Frame, MapKind, SourceInfo
from ..geometry import Geometry, Size
from ..media.color import rgb_to_ycbcr, set_color_tags
from ..media.planes import Planes, copy_into, next_even, plane_arrays, sample_dtype
from ..options import DrawOptions
from .annotations import Annotations
from .overlay import OverlayBlender, level_kind
from .panels import arrange_panels, drawn_info
from .upsample import MapUpsampler
from .yuv import PlaneBlender


class FrameRenderer:
    """Draws the frames of one stream on its own Y'CbCr planes.

    Samples without attribution are unchanged; elsewhere the color map is blended in, with an opacity that follows the
    attribution. Attribution, and with it color and opacity, has one value for each 2×2 block of pixels: the grid of the
    stream's chroma.

    Not thread-safe: one renderer serves one thread, since it reuses its arrays.

    Several targets are drawn in a panel each, side by side and then below one another. If the output has a size of its
    own, frames are scaled to it first, so that heatmap and text are drawn in its pixels.

    Args:
        options: colors, opacity, layout, caption and size.
        info: the source.
        geometry: position and scale of the source's frames in the model's input.
        facts: for the caption.
        panels: how many targets there are.
        map_kind: how the maps are shown.
    """

    def __init__(
        self,
        options: DrawOptions,
        info: SourceInfo,
        geometry: Geometry,
        *,
        facts: CaptionFacts,
        panels: int = 1,
        map_kind: MapKind = "heat",
    ) -> None:
        self._options = options
        self._panels = arrange_panels(options, info, panels)
        self._scaler = make_scaler(options, info, self._panels.panel)
        self._info = info = drawn_info(options, info, panels)
        self._geometry = replace(geometry, source=(info.width, info.height)) if options.size else geometry
        self._level_kind = level_kind(options, map_kind)
        self._blender = PlaneBlender(sample_dtype(info.pixel_format), self.size)
        self._overlay = OverlayBlender(options, info, map_kind, self._blender)
        self._upsamplers: dict[Size, MapUpsampler] = {}
        self._annotations = Annotations(options, info, self._panels.panel, facts, map_kind, panels)

    @property
    def size(self) -> Size:
        """``(width, height)`` of the frames drawn; both even."""
        return self._panels.size

    def draw(self, item: ExplainedFrame) -> VideoFrame:
        """Draw one frame.

        Args:
            item: a frame of this renderer's source; only read.

        Returns:
            A new frame of this renderer's `size`, in the source's pixel format, with its time and color tags.
        """
        video_frame = VideoFrame(*self.size, self._info.pixel_format)
        planes = plane_arrays(video_frame)
        source = plane_arrays(self._scaler(item.frame.video_frame))
        origins, used = self._panels.origins, self._panels.num_plain + self._panels.num_targets
        for top, left in origins[:used]:
            copy_into(planes, source, top, left)
        for top, left in origins[used:]:
            self._blacken(planes, top, left)
        for number, (top, left) in enumerate(origins[used - len(item.attributions) : used]):
            self._draw_target(item, number, planes, top // 2, left // 2)
        return copy_color_tags(video_frame, item.frame, self._info)

    def _draw_target(self, item: ExplainedFrame, number: int, planes: Planes, top: int, left: int) -> None:
        """Draw one target on the panel at a chroma sample."""
        attribution = item.attributions[number]
        levels = self._upsampler(attribution)(attribution.heatmap, attribution.vmax, self._overlay.min_visible_level)
        self._overlay(levels, planes, top, left)
        for box in self._annotations.render(item, number):
            self._blender.apply(box.blend_op, planes, top + box.top, left + box.left)

    def _blacken(self, planes: Planes, top: int, left: int) -> None:
        width, height = self._panels.panel
        for plane, code, size in zip(planes, rgb_to_ycbcr(np.zeros((1, 3)), self._info)[0], (1, 2, 2), strict=True):
            plane[top // size : (top + height) // size, left // size : (left + width) // size] = round(code)

    def _upsampler(self, attribution: Attribution) -> MapUpsampler:
        height, width = attribution.heatmap.shape
        if (width, height) not in self._upsamplers:
            self._upsamplers[width, height] = MapUpsampler(self._geometry, (width, height), self._level_kind)
        return self._upsamplers[width, height]


def make_scaler(options: DrawOptions, info: SourceInfo, panel: Size) -> Callable[[VideoFrame], VideoFrame]:
    """Return a function that scales the source's frames to a panel; they pass unchanged without a size."""
    if not options.size or panel == (info.width, info.height):
        return lambda video_frame: video_frame
    reformatter = VideoReformatter()
    interpolation = Interpolation.AREA if panel[0] < info.width else Interpolation.BICUBIC
    return lambda video_frame: reformatter.reformat(
        video_frame, width=panel[0], height=panel[1], format=info.pixel_format, interpolation=interpolation, threads=1
    )


def pad_to_even(frame: Frame, info: SourceInfo) -> VideoFrame:
    """Return a frame's image without an overlay.

    It is padded to the even sides of drawn frames.
    """
    if info.width % 2 == 0 and info.height % 2 == 0:
        return frame.video_frame
    video_frame = VideoFrame(next_even(info.width), next_even(info.height), info.pixel_format)
    copy_into(plane_arrays(video_frame), plane_arrays(frame.video_frame))
    return copy_color_tags(video_frame, frame, info)


def copy_color_tags(video_frame: VideoFrame, frame: Frame, info: SourceInfo) -> VideoFrame:
    """Copy a frame's time and color tags to a drawn image."""
    video_frame.pts, video_frame.time_base, video_frame.duration = frame.pts, info.time_base, frame.video_frame.duration
    return set_color_tags(video_frame, info.color)
