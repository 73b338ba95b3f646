"""Pictures as the encoders of a WebRTC connection take them, and browsers show them: 8 bit, limited-range BT.601."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from ..frames import ColorSpec, plane_arrays

_TIME_BASE = Fraction(1, 90_000)


class WebRtcConverter:
    """Makes pictures of a peer's own, one after another: encoders write into what they are given."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, frame: VideoFrame, pts: int) -> VideoFrame:
        """A picture that nobody else has.

        Args:
            frame: in a drawable format, of even sides.
            pts: in 1/90000 s.
        """
        color = ColorSpec(range=int(frame.color_range), matrix=int(frame.colorspace))
        matrix = color.resolve_matrix(frame.width, frame.height)
        is_full_range = color.range == ColorRange.JPEG
        if frame.format.name == "yuv420p" and matrix == Colorspace.ITU601 and not is_full_range:
            converted = VideoFrame(frame.width, frame.height, "yuv420p")
            for target_plane, plane in zip(plane_arrays(converted), plane_arrays(frame), strict=True):
                target_plane[...] = plane
        else:
            converted = self._reformatter.reformat(
                frame,
                format="yuv420p",
                src_colorspace=matrix,
                dst_colorspace=Colorspace.ITU601,
                src_color_range=ColorRange.JPEG if is_full_range else ColorRange.MPEG,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
        converted.pts, converted.time_base = pts, _TIME_BASE
        return converted
