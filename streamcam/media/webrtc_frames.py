"""Frames for the encoders of a WebRTC connection.

Browsers show 8-bit, limited-range BT.601.
"""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from .color import BT601_MATRIX, LIMITED_RANGE, color_tags, scaler_color
from .planes import plane_arrays

_TIME_BASE = Fraction(1, 90_000)


class WebRtcConverter:
    """Makes each viewer's own copy of frames: encoders write into the frames they are given."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, frame: VideoFrame, pts: int) -> VideoFrame:
        """Convert one frame into a copy that no other code refers to.

        Args:
            frame: in a working format, of even sides.
            pts: in 1/90000 s.
        """
        matrix, color_range = scaler_color(color_tags(frame), frame.width, frame.height)
        if frame.format.name == "yuv420p" and (matrix, color_range) == (BT601_MATRIX, LIMITED_RANGE):
            converted = VideoFrame(frame.width, frame.height, "yuv420p")
            for target_plane, plane in zip(plane_arrays(converted), plane_arrays(frame), strict=True):
                target_plane[...] = plane
        else:
            converted = self._reformatter.reformat(
                frame,
                format="yuv420p",
                src_colorspace=matrix,
                dst_colorspace=BT601_MATRIX,
                src_color_range=color_range,
                dst_color_range=LIMITED_RANGE,
                threads=1,
            )
        converted.pts, converted.time_base = pts, _TIME_BASE
        return converted
