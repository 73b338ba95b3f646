"""Times, windows and streams that a file source delivers, and how it ends."""

from __future__ import annotations

import gc
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.errors import SourceError
from streamcam.frames import Frame
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    frame_times,
    gradient_frame,
    write_clip,
)

from .reading import luma, read


def test_info_and_frames_of_an_ordinary_clip(clip: Path) -> None:
    source, frames = read(clip)
    info = source.info
    assert (info.width, info.height, info.pixel_format) == (160, 96, "yuv420p")
    assert (info.average_fps, info.num_frames, info.is_image, info.live) == (25, 50, False, False)
    assert info.duration_seconds == pytest.approx(2, abs=0.05)
    assert "passthrough_streams" not in repr(info)  # streams of a closed container must not be touched
    assert info.metadata["title"] == "made for a test"
    assert [frame.index for frame in frames] == list(range(50))
    assert all(frame.model_input is None for frame in frames)
    assert (source.skipped, source.notes) == (0, [])


def test_variable_rate_time_stamps_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stamps = np.cumsum(rng.integers(900, 9000, 40)).tolist()
    base = Fraction(1, 90_000)
    exact = {"movie_timescale": "90000"}
    path = write_clip(
        tmp_path / "vfr.mp4", [gradient_frame(96, 64, i) for i in range(40)], stamps, time_base=base, muxer=exact
    )
    source, frames = read(path)
    assert [frame.pts * source.info.time_base for frame in frames] == frame_times(path)
    assert [f.pts * source.info.time_base * 90_000 for f in frames] == stamps


def test_single_frame(tmp_path: Path) -> None:
    source, frames = read(write_clip(tmp_path / "one.mp4", [gradient_frame(96, 64)]))
    assert len(frames) == 1
    assert source.notes == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_start_and_end_cut_to_the_frame_and_shift_to_zero(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"c{suffix}", [gradient_frame(96, 64, i) for i in range(50)], audio=True)
    every = read(path)[1]
    with open_source(SourceOptions(url=str(path), start=Fraction(1, 2), end=Fraction(3, 2))) as source:
        frames = list(source)
        assert [stream.type for stream in source.info.passthrough_streams] == ["audio"]
    assert len(frames) == 25
    assert frames[0].pts * source.info.time_base < Fraction(1, 25)
    np.testing.assert_array_equal(luma(frames[0]), luma(every[13]))
    packets = [*(p for f in frames for p in f.passthrough_packets), *source.trailing_packets]
    times = [float(packet.pts * packet.time_base) for packet in packets]
    assert 0 <= min(times) < 0.03
    assert 0.95 < max(times) < 1
    assert source.info.duration_seconds == pytest.approx(1)


def test_start_in_a_broadcast_is_found_though_its_seeking_is_rough(tmp_path: Path) -> None:
    stamps = [3600 * index for index in range(100)]
    path = write_clip(
        tmp_path / "c.ts",
        [gradient_frame(96, 64, i) for i in range(100)],
        stamps,
        time_base=Fraction(1, 90_000),
        gop=25,
    )
    every = read(path)[1]
    _, frames = read(path, start=Fraction(2), end=Fraction(3))
    assert len(frames) == 25
    np.testing.assert_array_equal(luma(frames[0]), luma(every[50]))
    assert frames[0].pts == 0


def test_elementary_stream_gets_a_constant_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.h264", [gradient_frame(96, 64, i) for i in range(20)])
    source, frames = read(path)
    assert [frame.pts * source.info.time_base for frame in frames] == [Fraction(i, 25) for i in range(20)]
    assert source.notes == [f"{path}: 20 frames without a timestamp, 25 a second assumed"]
    assert len(read(path, start=Fraction(2, 5))[1]) == 10


@pytest.mark.parametrize("start", [100, 10**18])
def test_start_beyond_the_end_says_how_long_it_is(clip: Path, start: int) -> None:
    with pytest.raises(SourceError, match=r"no frame from --start 1\S+ on; it is 2\.0 s long"):
        open_source(SourceOptions(url=str(clip), start=Fraction(start)))


def test_time_stamps_that_stand_still_or_run_back_are_moved_and_counted(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "back.mkv", [gradient_frame(96, 64, i) for i in range(6)], codec="ffv1", time_base=Fraction(1, 1000)
    )
    data = bytearray(path.read_bytes())
    at = [i for i in range(len(data) - 4) if data[i : i + 1] == b"\x81" and data[i + 3] in (0x80, 0x00)]
    blocks = [i for i in at if int.from_bytes(data[i + 1 : i + 3], "big") in (2, 3)]
    assert len(blocks) >= 2
    stamps = {2: 1, 3: 0}
    for i in blocks:
        data[i + 1 : i + 3] = stamps[int.from_bytes(data[i + 1 : i + 3], "big")].to_bytes(2, "big")
    path.write_bytes(data)
    source, frames = read(path)
    assert len(frames) == 6
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert any("2 timestamps did not increase" in note for note in source.notes)


def test_second_video_stream_is_announced(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "two.mkv", [gradient_frame(96, 64, i) for i in range(5)], second_video=True)
    source, frames = read(path)
    assert len(frames) == 5
    assert source.notes == [f"{path}: 1 further video stream ignored"]


@pytest.mark.slow
def test_frames_are_freed_as_soon_as_they_are_dropped(clip: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        with open_source(SourceOptions(url=str(clip))) as source:
            alive = [
                sum(isinstance(thing, VideoFrame) for thing in gc.get_objects())
                for number, _ in enumerate(source)
                if number % 12 == 0  # a look at every object of the process takes long
            ]
    finally:
        gc.enable()
    assert len(alive) == 5
    assert max(alive) <= alive[0] + 5


def test_closing_while_another_thread_reads_ends_the_iteration(clip: Path) -> None:
    source = open_source(SourceOptions(url=str(clip)))
    begun, closed = threading.Event(), threading.Event()
    got: list[Frame] = []

    def work() -> None:
        for frame in source:
            got.append(frame)
            begun.set()
            closed.wait(10)

    thread = threading.Thread(target=work)
    with source:
        thread.start()
        assert begun.wait(10)
    closed.set()
    thread.join(10)
    assert not thread.is_alive()
    assert 0 < len(got) < 50
