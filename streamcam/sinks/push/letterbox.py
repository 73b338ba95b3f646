"""Pictures that follow one another in a stream of one size."""

from __future__ import annotations

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from ...frames import ColorSpec, plane_arrays
from .protocol import color_tags


class Letterboxer:
    """Gives each picture the size, pixel format and colours of the first: scaled in its shape, with black borders.

    Args:
        first: stays as it is.
    """

    def __init__(self, first: VideoFrame) -> None:
        self.width, self.height, self.format, self.color = (
            first.width,
            first.height,
            first.format.name,
            color_tags(first),
        )
        self._matrix_and_range = _resolve_matrix_and_range(self.color, first)
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The picture itself where it fits already."""
        matrix_and_range = _resolve_matrix_and_range(color_tags(frame), frame)
        frame_format = frame.width, frame.height, frame.format.name, matrix_and_range
        if frame_format == (self.width, self.height, self.format, self._matrix_and_range):
            return frame
        scale = min(self.width / frame.width, self.height / frame.height)
        width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
        resized = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self.format,
            src_colorspace=matrix_and_range[0],
            src_color_range=matrix_and_range[1],
            dst_colorspace=self._matrix_and_range[0],
            dst_color_range=self._matrix_and_range[1],
            threads=1,
        )
        if (width, height) == (self.width, self.height):
            return resized
        padded = VideoFrame(self.width, self.height, self.format)
        unit = 1 if self.format == "yuv420p" else 4
        black = 0 if self._matrix_and_range[1] == ColorRange.JPEG else 16
        top, left = ((self.height - height) // 4) * 2, ((self.width - width) // 4) * 2
        for number, (target, plane) in enumerate(zip(plane_arrays(padded), plane_arrays(resized), strict=True)):
            target[:] = (128 if number else black) * unit
            y, x = (top // 2, left // 2) if number else (top, left)
            target[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
        return padded


def _resolve_matrix_and_range(color: ColorSpec, frame: VideoFrame) -> tuple[int, ColorRange]:
    """The matrix and range that a picture's numbers have."""
    is_full_range = color.range == ColorRange.JPEG
    return color.resolve_matrix(frame.width, frame.height), ColorRange.JPEG if is_full_range else ColorRange.MPEG
