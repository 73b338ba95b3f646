"""Drawing an explained frame."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame

from ..frames import Attribution, ExplainedFrame, Frame, MapKind, SourceInfo
from ..geometry import Geometry, Size
from ..media.color import rgb_to_ycbcr, set_color_tags
from ..media.planes import Planes, copy_into, next_even, plane_arrays, sample_dtype
from ..options import DrawOptions
from .caption import MIN_IMAGE_SIDE, CaptionRenderer
from .overlay import OverlayBlender
from .panels import arrange_panels
from .upsample import MapUpsampler
from .yuv import PlaneBlender


class FrameRenderer:
    """Draws the frames of one stream on its own Y'CbCr planes.

    Samples without attribution are unchanged; elsewhere the color map is blended in, with an opacity that follows the
    attribution. Attribution, and with it color and opacity, has one value for each 2×2 block of pixels: the grid of the
    stream's chroma.

    Not thread-safe: one renderer serves one thread, since it reuses its arrays.

    Several targets are drawn in a panel each, side by side and then below one another.

    Args:
        options: colors, opacity and layout.
        info: the source.
        geometry: position and scale of the source's frames in the model's input.
        detail: method and layer, for the caption's second line.
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
        display: MapKind = "heat",
    ) -> None:
        self._options = options
        self._info = info
        self._geometry = geometry
        self._display = display
        self._panels = arrange_panels(options, info, panels)
        self._blender = PlaneBlender(sample_dtype(info.pixel_format), self.size)
        self._overlay = OverlayBlender(options, info, display, self._blender)
        self._upsamplers: dict[Size, MapUpsampler] = {}
        self._captions: CaptionRenderer | None = None
        if options.caption and min(info.width, info.height) >= MIN_IMAGE_SIDE:
            self._captions = CaptionRenderer(info, self._panels.panel, detail, panels)

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
        source = plane_arrays(item.frame.video_frame)
        origins, used = self._panels.origins, self._panels.num_plain + self._panels.num_targets
        for top, left in origins[:used]:
            copy_into(planes, source, top, left)
        for top, left in origins[used:]:
            self._blacken(planes, top, left)
        for attribution, (top, left) in zip(
            item.attributions, origins[used - len(item.attributions) : used], strict=True
        ):
            self._draw_target(attribution, item.caption_note, planes, top // 2, left // 2)
        return copy_color_tags(video_frame, item.frame, self._info)

    def _draw_target(self, attribution: Attribution, caption_note: str, planes: Planes, top: int, left: int) -> None:
        """Draw one target on the panel at a chroma sample."""
        levels = self._upsampler(attribution)(attribution.heatmap, attribution.vmax, self._overlay.min_visible_level)
        self._overlay(levels, planes, top, left)
        if self._captions is not None:
            box = self._captions.render(attribution, caption_note)
            self._blender.apply(box.blend_op, planes, top + box.top, left + box.left)

    def _blacken(self, planes: Planes, top: int, left: int) -> None:
        width, height = self._panels.panel
        for plane, code, size in zip(planes, rgb_to_ycbcr(np.zeros((1, 3)), self._info)[0], (1, 2, 2), strict=True):
            plane[top // size : (top + height) // size, left // size : (left + width) // size] = round(code)

    def _upsampler(self, attribution: Attribution) -> MapUpsampler:
        height, width = attribution.heatmap.shape
        if (width, height) not in self._upsamplers:
            signed = self._display == "signed"
            self._upsamplers[width, height] = MapUpsampler(self._geometry, (width, height), signed=signed)
        return self._upsamplers[width, height]


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
