"""Pictures as the encoders of a WebRTC connection take them, and browsers show them: 8 bit, limited-range BT.601."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from ..frames import Colour, planes_of

_TIME_BASE = Fraction(1, 90_000)


class PeerPictures:
    """Makes pictures of a peer's own, one after another: encoders write into what they are given."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def own(self, picture: VideoFrame, pts: int) -> VideoFrame:
        """A picture that nobody else has.

        Args:
            picture: in a drawable format, of even sides.
            pts: in 1/90000 s.
        """
        colour = Colour(range=int(picture.color_range), matrix=int(picture.colorspace))
        matrix = colour.matrix_of(picture.width, picture.height)
        full = colour.range == ColorRange.JPEG
        if picture.format.name == "yuv420p" and matrix == Colorspace.ITU601 and not full:
            own = VideoFrame(picture.width, picture.height, "yuv420p")
            for mine, theirs in zip(planes_of(own), planes_of(picture), strict=True):
                mine[...] = theirs
        else:
            own = self._reformatter.reformat(
                picture,
                format="yuv420p",
                src_colorspace=matrix,
                dst_colorspace=Colorspace.ITU601,
                src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
        own.pts, own.time_base = pts, _TIME_BASE
        return own
