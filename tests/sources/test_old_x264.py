"""A stream that old versions of x264 wrote."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamcam.frames import Frame
from streamcam.options import SourceOptions
from streamcam.sources import open_source

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "cockatoo.mp4"


def test_a_start_inside_shows_the_same_frames() -> None:
    """4:4:4 of that time cannot be decoded without what stands before the first frame."""
    whole = frames(None, Fraction(13, 2))
    part = frames(Fraction(6), Fraction(13, 2))
    assert len(part) == 10
    for frame, expected in zip(part, whole[-10:], strict=True):
        np.testing.assert_array_equal(luma(frame), luma(expected))


def frames(start: Fraction | None, end: Fraction) -> list[Frame]:
    with open_source(SourceOptions(url=str(SAMPLE), start=start, end=end)) as source:
        return list(source)


def luma(frame: Frame) -> NDArray[np.uint8]:
    plane = frame.video_frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].copy()
