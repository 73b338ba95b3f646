"""Pictures that follow one another in a stream of one size."""

from __future__ import annotations

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from ...frames import Colour, planes_of
from .wire import colour_of


class Fitted:
    """Gives each picture the size, pixel format and colours of the first: scaled in its shape, with black borders.

    Args:
        first: stays as it is.
    """

    def __init__(self, first: VideoFrame) -> None:
        self.width, self.height, self.format, self.colour = (
            first.width,
            first.height,
            first.format.name,
            colour_of(first),
        )
        self._meant = _meaning(self.colour, first)
        self._reformatter = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> VideoFrame:
        """The picture itself where it fits already."""
        meant = _meaning(colour_of(picture), picture)
        like = picture.width, picture.height, picture.format.name, meant
        if like == (self.width, self.height, self.format, self._meant):
            return picture
        scale = min(self.width / picture.width, self.height / picture.height)
        width, height = (max(2, round(side * scale / 2) * 2) for side in (picture.width, picture.height))
        inner = self._reformatter.reformat(
            picture,
            width=width,
            height=height,
            format=self.format,
            src_colorspace=meant[0],
            src_color_range=meant[1],
            dst_colorspace=self._meant[0],
            dst_color_range=self._meant[1],
            threads=1,
        )
        if (width, height) == (self.width, self.height):
            return inner
        whole = VideoFrame(self.width, self.height, self.format)
        unit = 1 if self.format == "yuv420p" else 4
        black = 0 if self._meant[1] == ColorRange.JPEG else 16
        top, left = ((self.height - height) // 4) * 2, ((self.width - width) // 4) * 2
        for number, (to, plane) in enumerate(zip(planes_of(whole), planes_of(inner), strict=True)):
            to[:] = (128 if number else black) * unit
            y, x = (top // 2, left // 2) if number else (top, left)
            to[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
        return whole


def _meaning(colour: Colour, picture: VideoFrame) -> tuple[int, ColorRange]:
    """The matrix and range that a picture's numbers have."""
    full = colour.range == ColorRange.JPEG
    return colour.matrix_of(picture.width, picture.height), ColorRange.JPEG if full else ColorRange.MPEG
