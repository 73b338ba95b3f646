"""Times of frames: exact in every container, for any number of frames and any gap."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.media_helpers import frame_times, gradient_frame, transcode

from .sink_helpers import SUFFIXES_AND_CODECS, TIME_BASE, open_test_sink, source_info


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("base", [Fraction(1001, 24000), Fraction(1, 90_000), Fraction(1, 600)])
def test_variable_rate_and_late_start_are_exact(tmp_path: Path, suffix: str, base: Fraction) -> None:
    steps = np.random.default_rng(5).integers(1, 4, 40) * (
        1 if base > TIME_BASE else max(1, int(TIME_BASE / base)) * 20
    )
    stamps = [int(step) for step in 7 + np.cumsum(steps)]
    about = source_info(time_base=base, average_fps=Fraction(20))
    with open_test_sink(tmp_path / f"o{suffix}", about) as writer:
        for index, stamp in enumerate(stamps):
            writer.write(gradient_frame(96, 64, index), stamp)
    tick = TIME_BASE if suffix in (".mkv", ".webm") else base
    back = frame_times(tmp_path / f"o{suffix}")
    assert len(back) == len(stamps)
    assert max(abs(time - stamp * base) for time, stamp in zip(back, stamps, strict=True)) <= tick


@pytest.mark.parametrize(("suffix", "codec"), SUFFIXES_AND_CODECS)
@pytest.mark.parametrize("base", [Fraction(1, 90_000), Fraction(1001, 2_400_000), Fraction(1, 1500)])
def test_frames_of_a_burst_have_times_of_their_own(tmp_path: Path, suffix: str, codec: Any, base: Fraction) -> None:
    calm = [n * round(Fraction(1, 25) / base) for n in range(6)]
    burst = [calm[3] + n for n in range(1, 6)]
    stamps = sorted({*calm, *burst})
    with open_test_sink(
        tmp_path / f"o{suffix}", source_info(time_base=base, average_fps=Fraction(25)), codec=codec
    ) as writer:
        for index, stamp in enumerate(stamps):
            writer.write(gradient_frame(96, 64, index), stamp)
    back = frame_times(tmp_path / f"o{suffix}")
    tick = TIME_BASE if suffix in (".mkv", ".webm") else base
    assert len(back) == len(stamps)
    assert all(after > before for before, after in pairwise(back))
    late = [time - stamp * base for time, stamp in zip(back, stamps, strict=True)]
    assert min(late) >= -tick / 2
    assert max(late) <= len(burst) * tick
    assert abs(late[-1]) <= tick / 2  # what comes after the burst is where it was


@pytest.mark.slow
@pytest.mark.parametrize("rate", [Fraction(1, 2), Fraction(25), None])
def test_frames_far_apart_are_all_in_the_file(tmp_path: Path, rate: Fraction | None) -> None:
    about = source_info(time_base=Fraction(1, 1000), average_fps=rate)
    for suffix, options in ((".mp4", {}), (".mov", {"preset": "medium"}), (".mp4", {"codec": "hevc"}), (".mkv", {})):
        for count in range(1, 15):
            target = tmp_path / f"{count}{suffix}"
            with open_test_sink(target, about, overwrite=True, **options) as writer:
                for index in range(count):
                    writer.write(gradient_frame(96, 64, index), index * 2000)
            assert frame_times(target) == [2 * index for index in range(count)], (suffix, options)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_frames_in_hevc_after_longer_streams(tmp_path: Path, count: int) -> None:
    """x265 leaves their times of decoding as they happen to be in memory: those of an encoder before, for example."""
    about = source_info(time_base=Fraction(1, 1000), average_fps=Fraction(25))
    for length in (3, count, 5, count, 2, count, 4, count) * 3:
        target = tmp_path / "o.mp4"
        with open_test_sink(target, about, codec="hevc", overwrite=True) as writer:
            for index in range(length):
                writer.write(gradient_frame(96, 64, index), index * 2000)
        assert frame_times(target) == [2 * index for index in range(length)]


@pytest.mark.parametrize(("suffix", "codec"), SUFFIXES_AND_CODECS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_videos(tmp_path: Path, suffix: str, codec: Any, count: int) -> None:
    with open_test_sink(tmp_path / f"o{suffix}", codec=codec) as writer:
        for index in range(count):
            writer.write(gradient_frame(96, 64, index), 3 + index)
    assert frame_times(tmp_path / f"o{suffix}") == [Fraction(3 + index, 25) for index in range(count)]


def test_length_of_the_last_frame_is_kept(clip: Path, tmp_path: Path) -> None:
    transcode(clip, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == 2
