"""`--start` and `--end` with frames that are shown for long."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamcam.errors import SourceError
from tests.media_helpers import gradient_frame, planes, write_clip

from .reading import read

STAMPS = [0, 40, 80, 9000, 9040, 31000]


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "ffv1"), (".mp4", "libx264")])
@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2", None, [(2, "0"), (3, "7"), (4, "7.04"), (5, "29")]),
        ("2", "5", [(2, "0")]),
        ("8.5", None, [(3, "0.5"), (4, "0.54"), (5, "22.5")]),
        ("10", "32", [(4, "0"), (5, "21")]),
        ("9.01", "9.5", [(4, "0.03")]),
    ],
)
def test_a_frame_that_is_shown_for_long_is_a_part_of_the_window(
    tmp_path: Path, suffix: str, codec: str, start: str, end: str | None, expected: list[tuple[int, str]]
) -> None:
    video_frames = [gradient_frame(96, 64, number) for number in range(len(STAMPS))]
    path = write_clip(tmp_path / f"c{suffix}", video_frames, STAMPS, time_base=Fraction(1, 1000), codec=codec)
    every = read(path)[1]
    source, frames = read(path, start=Fraction(start), end=end and Fraction(end))
    assert [frame.pts * source.info.time_base for frame in frames] == [Fraction(time) for _, time in expected]
    for frame, (number, _) in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(planes(frame.video_frame)[0], planes(every[number].video_frame)[0])
    if end == "5":
        assert frames[0].video_frame.duration * source.info.time_base == 3


def test_a_window_between_two_frames_says_so(tmp_path: Path) -> None:
    frames = [gradient_frame(96, 64, number) for number in range(3)]
    path = write_clip(tmp_path / "c.mkv", frames, [0, 400, 800], time_base=Fraction(1, 1000), codec="ffv1")
    with pytest.raises(SourceError, match=r"no frame from --start 0\.5 to --end 0\.7; no frame begins in this window"):
        read(path, start=Fraction(1, 2), end=Fraction(7, 10))
