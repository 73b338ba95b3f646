"""The chunks of a file: together they are the file, frame for frame."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import SourceError
from streamcam.frames import Frame, FrameRange
from streamcam.options import SourceOptions
from streamcam.sources import open_source, plan_chunks
from tests.media_helpers import gradient_frame, planes, write_clip

from .reading import read

SAMPLES = Path(__file__).parents[2] / "samples"
HOSTILE = Path(__file__).parents[3] / "shared" / "assets" / "hostile"
OPEN_GOP = {"x264-params": "open-gop=1:bframes=3:keyint=12:scenecut=0:b-pyramid=normal"}
B_FRAMES = {"x264-params": "bframes=3:scenecut=0"}


def noisy_frames(count: int, pixel_format: str = "yuv420p") -> list[Any]:
    """Frames that differ everywhere, so that a wrong reference shows."""
    frames = []
    for number in range(count):
        frame = gradient_frame(96, 64, number, pixel_format)
        luma = planes(frame)[0]
        noise = np.random.default_rng(number // 2).integers(0, 60, luma.shape)
        luma[:] = np.clip(luma + noise, 0, 255)
        frames.append(frame)
    return frames


def variable(count: int) -> list[int]:
    return np.cumsum(np.random.default_rng(1).integers(20, 60, count)).tolist()


CLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264": (".mp4", {"audio": True}),
    "h264 with B-frames": (".mp4", {"options": B_FRAMES}),
    "open GOPs, mkv": (".mkv", {"options": OPEN_GOP, "audio": True}),
    "open GOPs, mp4": (".mp4", {"options": OPEN_GOP}),
    "open GOPs, ts": (".ts", {"options": OPEN_GOP}),
    "variable rate": (".mkv", {"pts": variable(60), "time_base": Fraction(1, 1000), "options": B_FRAMES}),
    "variable rate, mp4": (".mp4", {"pts": variable(60), "time_base": Fraction(1, 1000), "options": OPEN_GOP}),
    "negative times": (".mp4", {"pts": range(-9, 51), "options": B_FRAMES}),
    "an edit list": (".mp4", {"options": B_FRAMES, "audio": True, "audio_offset": 8192}),
    "starts late": (".mov", {"pts": range(40, 100)}),
    "rotated": (".mp4", {"rotation": 90, "options": OPEN_GOP}),
    "vp8": (".webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "8"}}),
    "vp9": (".webm", {"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "8"}}),
    "hevc": (".mkv", {"codec": "libx265", "options": {"x265-params": "open-gop=1:keyint=12:log-level=none"}}),
    "mpeg4, avi": (".avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "mpeg2, ts": (".ts", {"codec": "mpeg2video", "options": {"bf": "2"}, "audio": True}),
    "ffv1": (".mkv", {"codec": "ffv1"}),
    "one keyframe": (".mp4", {"gop": 1000, "options": {"x264-params": "scenecut=0"}}),
    "gif": (".gif", {"codec": "gif", "pixel_format": "rgb8"}),
}


def digest(frame: Frame) -> tuple[int, int, str]:
    parts = hashlib.sha256()
    for plane in planes(frame.video_frame):
        parts.update(np.ascontiguousarray(plane))
    return frame.index, frame.pts, parts.hexdigest()


def check_chunks(path: Path, *, max_frames: int, every: int = 1, **window: Any) -> int:
    """Compare the chunks of a file with the whole; return how many there are, 0 if it has no plan."""
    options = SourceOptions(url=str(path), **window)
    whole = [digest(frame) for frame in read(path, **window)[1]]
    plan = plan_chunks(options, max_frames=max_frames, every=every)
    if plan is None:
        return 0
    parts = []
    for chunk in plan:
        with open_source(options, frame_range=chunk) as source:
            assert source.info.passthrough_streams == ()
            frames = [digest(frame) for frame in source]
        assert len(frames) == chunk.num_frames
        assert frames[0][:2] == (chunk.first_index, chunk.first_pts)
        assert chunk.first_index % every == 0
        parts += frames
    assert parts == whole
    middle = plan[len(plan) // 2]
    rest = replace(middle, end_pts=None, num_frames=len(whole) - middle.first_index)
    with open_source(options, frame_range=rest) as source:
        assert [digest(frame) for frame in source] == whole[middle.first_index :]
    return len(plan)


def make_clip(folder: Path, name: str) -> Path:
    suffix, values = CLIPS[name]
    frames = noisy_frames(60)
    if pixel_format := values.get("pixel_format"):
        frames = [frame.reformat(format=pixel_format) for frame in frames]
    return write_clip(folder / f"clip{suffix}", frames, **{"gop": 12} | values)


@pytest.mark.parametrize("name", CLIPS)
def test_the_chunks_are_the_clip(tmp_path: Path, name: str) -> None:
    assert check_chunks(make_clip(tmp_path, name), max_frames=8, every=1 + 2 * (name == "h264 with B-frames")) >= 7


@pytest.mark.parametrize("name", ["open GOPs, mp4", "open GOPs, ts", "variable rate", "negative times", "mpeg2, ts"])
def test_the_chunks_of_a_window(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path, name)
    for window in ({"start": Fraction(7, 10)}, {"end": Fraction(3, 2)}, {"start": Fraction(1, 2), "end": 2}):
        assert check_chunks(path, max_frames=8, **window) >= 4


def test_a_frame_that_is_on_screen_at_the_start(tmp_path: Path) -> None:
    stamps = [0, 40, *range(9000, 10000, 40)]
    path = write_clip(tmp_path / "c.mkv", noisy_frames(27), stamps, time_base=Fraction(1, 1000), codec="ffv1")
    assert check_chunks(path, max_frames=8, start=2) == 3
    assert check_chunks(path, max_frames=8, start=2, end=Fraction("9.5")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("clip", [*SAMPLES.glob("*_640*.mp4"), *sorted(HOSTILE.glob("*"))], ids=lambda path: path.name)
def test_the_chunks_of_other_files(clip: Path) -> None:
    """Real clips, and files of wrong or no times, damage, several recordings: the whole file, or no plan."""
    try:
        check_chunks(clip, max_frames=40, end=5)
    except SourceError:
        with pytest.raises(SourceError):
            read(clip, end=5)


def test_chunks_end_at_keyframes_nearby(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mp4", noisy_frames(60), gop=12, options=B_FRAMES)
    options = SourceOptions(url=str(path))

    def starts(**values: int) -> list[int]:
        return [chunk.first_index for chunk in plan_chunks(options, **values) or ()]

    assert starts(max_frames=16) == [0, 12, 24, 36, 48]
    assert starts(max_frames=30) == [0, 24]  # 36 are left: less than 5/4 of 30
    assert starts(max_frames=16, every=5) == [0, 15, 25, 40]
    assert starts(max_frames=8) == [0, 8, 16, 24, 32, 40, 48, 56]  # those at 12 and 36 are too near
    (one,) = plan_chunks(options, max_frames=60) or ()
    assert one == FrameRange(0, 0, 60, one.first_pts)


def test_sources_without_a_plan(tmp_path: Path) -> None:
    def plan(path: Path | str, max_frames: int = 256) -> object:
        return plan_chunks(SourceOptions(url=str(path)), max_frames=max_frames)

    frames = noisy_frames(20)
    clip = write_clip(tmp_path / "c.mp4", frames, gop=100, options={"x264-params": "scenecut=0"})
    assert plan(clip, max_frames=4)
    assert plan(clip, max_frames=2) is None  # 10 chunks from one keyframe
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "http://127.0.0.1:9/c.mp4", tmp_path / "none.mp4", SAMPLES / "coffee.png"):
        assert plan(path) is None
    assert plan(write_clip(tmp_path / "c.h264", frames)) is None  # no times
    back = write_clip(tmp_path / "b.mkv", frames[:6], time_base=Fraction(1, 1000), codec="ffv1")
    assert plan(back)
    data = back.read_bytes()
    block = re.compile(b"\x81\0\3(?=[\0\x80])")  # track 1, time 3
    assert len(block.findall(data)) == 1
    back.write_bytes(block.sub(lambda _: b"\x81\0\1", data))
    assert plan(back) is None
    (tmp_path / "text.mp4").write_text("no video")
    assert plan(tmp_path / "text.mp4") is None


def test_a_file_that_is_not_the_planned_one(tmp_path: Path) -> None:
    path = make_clip(tmp_path, "h264")
    options = SourceOptions(url=str(path))
    chunk = (plan_chunks(options, max_frames=16) or ())[1]
    expected = rf"frames {chunk.first_index} to \d+ of .* are not those that its packets announce"
    for wrong in (replace(chunk, num_frames=3), replace(chunk, first_pts=chunk.first_pts + 1)):
        with pytest.raises(SourceError, match=expected), open_source(options, frame_range=wrong) as source:
            list(source)
