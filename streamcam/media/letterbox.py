"""Placing images in a larger or smaller canvas, and frame size changes."""

from __future__ import annotations

from typing import Any

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..geometry import letterbox_size
from .color import FULL_RANGE, color_tags, scaler_color
from .planes import plane_arrays


def place(canvas: NDArray[Any], image: NDArray[Any], left: int, top: int) -> None:
    """Copy an image into a canvas, cut at its edges.

    Args:
        canvas: ``(H, W, …)``, written.
        image: ``(h, w, …)``.
        left: column of the image's corner in the canvas; a negative one cuts the image.
        top: row of that corner, likewise.
    """
    rows, columns = image.shape[:2]
    target = canvas[max(top, 0) : top + rows, max(left, 0) : left + columns]
    target[:] = image[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]


class Letterboxer:
    """Gives each frame the size, pixel format and color of the first.

    Frames are scaled to fit, with black borders.

    Args:
        first: the frame to match; returned unchanged.
    """

    def __init__(self, first: VideoFrame) -> None:
        self.width, self.height, self.format = first.width, first.height, first.format.name
        self.color = color_tags(first)
        self._scaler_color = scaler_color(self.color, first.width, first.height)
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame letterboxed; itself if it matches already."""
        matrix, color_range = scaler_color(color_tags(frame), frame.width, frame.height)
        frame_format = frame.width, frame.height, frame.format.name, (matrix, color_range)
        if frame_format == (self.width, self.height, self.format, self._scaler_color):
            return frame
        width, height = letterbox_size((frame.width, frame.height), (self.width, self.height), multiple=2)
        resized = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self.format,
            src_colorspace=matrix,
            src_color_range=color_range,
            dst_colorspace=self._scaler_color[0],
            dst_color_range=self._scaler_color[1],
            threads=1,
        )
        if (width, height) == (self.width, self.height):
            return resized
        padded = VideoFrame(self.width, self.height, self.format)
        unit = 1 if self.format == "yuv420p" else 4
        black = 0 if self._scaler_color[1] == FULL_RANGE else 16
        top, left = ((self.height - height) // 4) * 2, ((self.width - width) // 4) * 2
        for number, (target, plane) in enumerate(zip(plane_arrays(padded), plane_arrays(resized), strict=True)):
            target[:] = (128 if number else black) * unit
            subsampling = 2 if number else 1
            place(target, plane, left // subsampling, top // subsampling)
        return padded
