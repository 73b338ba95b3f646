"""Pictures as the encoders of a WebRTC connection take them."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame

from ..frames import planes_of

_TIME_BASE = Fraction(1, 90_000)


def picture_for_peer(picture: VideoFrame, pts: int) -> VideoFrame:
    """A picture of one peer's own: encoders write into what they are given.

    Args:
        picture: in a drawable format, of even sides.
        pts: in 1/90000 s.
    """
    own = VideoFrame(picture.width, picture.height, "yuv420p")
    for mine, theirs in zip(planes_of(own), planes_of(picture), strict=True):
        mine[...] = theirs
    own.pts, own.time_base = pts, _TIME_BASE
    return own
