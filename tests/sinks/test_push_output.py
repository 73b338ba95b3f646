"""Push outputs into files and HLS, opened again; refused outputs."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.errors import StreamcamError
from streamcam.options import OutputOptions
from streamcam.sinks.push.output import PushOutput
from tests.media_helpers import COLORS, box_types, color_patches, frame_times, patch_codes, planes, to_rgb
from tests.waiting import wait_until

from .output_helpers import (
    MOVING_FRAMES,
    TICKS_PER_FRAME,
    TICKS_PER_SECOND,
    push_frames,
    run_output,
    solid_frame,
    start_pusher,
    worker_pids,
)

pytestmark = pytest.mark.slow


def frames_of(path: Path | io.BytesIO, **options: Any) -> list[av.VideoFrame]:
    with av.open(path if isinstance(path, io.BytesIO) else str(path), **options) as container:
        return list(container.decode(video=0))


def group_equal_frames(frames: list[av.VideoFrame]) -> bool:
    """Whether they are `MOVING`, in order."""
    return all(
        np.abs(planes(frame)[0].astype(int) - planes(MOVING_FRAMES[index % 10])[0]).mean() < 6
        for index, frame in enumerate(frames)
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("o.mp4", {}),
        ("o.mov", {"codec": "hevc"}),
        ("o.mkv", {"codec": "ffv1"}),
        ("o.webm", {"crf": 50, "preset": "8"}),
        ("new/o.m3u8", {"preset": "ultrafast"}),
        ("100%d.m3u8", {}),
    ],
)
def test_every_frame_is_in_the_file_at_its_time(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    target = tmp_path / name
    with run_output(target, **options) as output:
        push_frames(output, 60)
    assert (output.num_frames, output.dropped, output.last_error) == (60, 0, "")
    frames = frames_of(target)
    assert len(frames) == 60
    assert group_equal_frames(frames)
    times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times == pytest.approx([times[0] + index / 25 for index in range(60)], abs=0.002)
    if not name.endswith(".m3u8"):
        assert times[0] == 0
    if name.endswith((".mp4", ".mov")):
        assert box_types(target).index("moov") < box_types(target).index("mdat")


def test_encoder_of_a_stream_holds_no_frame_back(tmp_path: Path) -> None:
    with run_output(tmp_path / "live.m3u8") as output:
        push_frames(output, 10)
    with av.open(str(tmp_path / "live-00000.ts")) as segment:
        packet = bytes(next(segment.demux(video=0)))
    assert all(part in packet for part in (b" subme=1 ", b" mbtree=0 ", b" bframes=0 ", b" rc_lookahead=0 "))


def test_list_by_a_relative_name_that_looks_like_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_output("http:a.m3u8") as output:
        push_frames(output, 10)
    assert output.last_error == ""
    assert len(frames_of(tmp_path / "http:a-00000.ts")) == 10


def test_list_is_a_window_of_segments_that_begin_with_key_frames_at_any_rate(tmp_path: Path) -> None:
    target = tmp_path / "live.m3u8"
    with run_output(target) as output:
        for index in range(110):  # 22 seconds of 5 fps from a camera that says 25
            output.submit(MOVING_FRAMES[index % 10], index * TICKS_PER_SECOND // 5)
    lines = target.read_text().splitlines()
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in lines
    assert "#EXT-X-ENDLIST" in lines
    assert [line for line in lines if line.startswith("#EXTINF")][:5] == ["#EXTINF:2.000000,"] * 5
    segments = [line for line in lines if not line.startswith("#")]
    assert segments == [f"live-{number:05}.ts" for number in range(5, 11)]
    assert len(list(tmp_path.glob("*.ts"))) <= 8
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.suffix != ".ts") == [".m3u8"]
    for segment in segments:
        frames = frames_of(tmp_path / segment)
        assert (len(frames), frames[0].key_frame) == (10, True)
    assert len(frames_of(target, options={"live_start_index": "0"})) == 60


@pytest.mark.slow
def test_list_goes_on_when_its_process_was_killed(tmp_path: Path) -> None:
    target = tmp_path / "live.m3u8"
    messages: list[str] = []
    with run_output(target, messages.append) as output:
        push_frames(output, 150)
        wait_until(lambda: target.exists() and "00001.ts" in target.read_text())
        os.kill(*worker_pids(), signal.SIGKILL)
        wait_until(lambda: output.restarts == 1)
        push_frames(output, 60, 150)
    assert messages == [f"the process for {target} was killed (SIGKILL); retrying", f"{target} is written again"]
    assert output.last_error == ""
    text = target.read_text()
    assert text.count("#EXT-X-DISCONTINUITY\n") >= 1
    names = [line for line in text.splitlines() if line.endswith(".ts")]
    assert len(set(names)) == len(names) >= 4
    assert sum(len(frames_of(tmp_path / name)) for name in names) >= 50 + 50 + 60


def test_segments_lose_no_frame_and_begin_anew_at_another_size(tmp_path: Path) -> None:
    with run_output(tmp_path / "door.mp4", segment_seconds=1) as output:
        push_frames(output, 110)
        for index in range(110, 130):
            output.submit(solid_frame(320, 192, 81, 90, 240), 12_345 + index * TICKS_PER_FRAME)
    assert (output.num_frames, output.dropped, output.last_error) == (130, 0, "")
    paths = list(tmp_path.iterdir())
    counts = {path.name: len(frame_times(path)) for path in paths}
    assert sorted(counts.values()) == [10, 20, 25, 25, 25, 25]
    for path in paths:
        assert path.match("door-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9]*.mp4")
        assert frame_times(path)[0] == 0
        assert box_types(path).index("moov") < box_types(path).index("mdat")
    assert sorted(frames_of(path)[0].width for path in paths) == [160] * 5 + [320]


@pytest.mark.slow
def test_segments_go_on_when_their_process_was_killed(tmp_path: Path) -> None:
    with run_output(tmp_path / "door.mkv", segment_seconds=60) as output:
        push_frames(output, 250)
        wait_until(lambda: output.num_frames == 250)
        os.kill(*worker_pids(), signal.SIGKILL)
        wait_until(lambda: output.restarts == 1)
        push_frames(output, 30, 250)
    killed, last = sorted((len(frame_times(path)) for path in tmp_path.iterdir()), reverse=True)
    assert killed >= 100
    assert last == 30


def test_file_whose_process_is_killed_plays_and_is_the_end(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    messages: list[str] = []
    with run_output(target, messages.append) as output:
        push_frames(output, 300)
        wait_until(lambda: output.num_frames == 300)
        os.kill(*worker_pids(), signal.SIGKILL)
        wait_until(lambda: output.state == "ended")
        push_frames(output, 10, 300)
    assert messages == [output.last_error] == [f"the process for {target} was killed (SIGKILL)"]
    assert (output.num_frames, output.restarts) == (300, 0)
    assert len(frame_times(target)) >= 300 - 2 * 50 - 60


def test_single_file_keeps_the_first_size(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    with run_output(target) as output:
        output.submit(solid_frame(160, 96, 100, 128, 128), 0)
        output.submit(solid_frame(320, 96, 81, 90, 240), TICKS_PER_FRAME)
        output.submit(solid_frame(96, 96, 200, 128, 128, pixel_format="yuv420p"), 2 * TICKS_PER_FRAME)
    assert output.last_error == ""
    assert [(frame.width, frame.height) for frame in frames_of(target)] == [(160, 96)] * 3


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_colour_tags_reach_the_file(tmp_path: Path, suffix: str) -> None:
    shown = color_patches(1, True)
    shown.color_range, shown.color_primaries, shown.color_trc, shown.colorspace = 2, 1, 13, 1
    with run_output(tmp_path / f"o{suffix}") as output:
        for index in range(5):
            output.submit(shown, index * TICKS_PER_FRAME)
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == (2, 1, 13, 1)
        assert np.abs(to_rgb(patch_codes(frame), 1, True) - COLORS).max() <= 6


def test_silence_is_filled_until_frames_come_back(tmp_path: Path) -> None:
    fillers: list[float] = []

    def make_filler(last: av.VideoFrame, silent_seconds: float) -> av.VideoFrame:
        fillers.append(silent_seconds)
        return solid_frame(last.width, last.height, 81, 90, 240)

    with run_output(tmp_path / "o.mkv", make_filler=make_filler) as output:
        push_frames(output, 10)
        wait_until(lambda: len(fillers) >= 4)
        push_frames(output, 10, 500)
    assert (output.num_frames, output.last_error) == (20, "")
    assert fillers == sorted(fillers)
    assert fillers[0] >= 0.5
    frames = frames_of(tmp_path / "o.mkv")
    filled = [frame for frame in frames if abs(planes(frame)[0].mean() - 81) < 2]
    assert 4 <= len(filled) == len(frames) - 20 <= len(fillers)
    times = [float(frame.pts * frame.time_base) for frame in filled]
    assert times == pytest.approx([9 / 25 + 0.25 * n for n in range(1, len(times) + 1)], abs=0.002)


def test_output_goes_on_when_descriptors_are_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = subprocess.Popen, [errno.EMFILE, errno.ENFILE]

    def popen(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise OSError(number := failures.pop(), os.strerror(number))
        return real(*arguments, **more)

    monkeypatch.setattr(subprocess, "Popen", popen)
    messages: list[str] = []
    with run_output(tmp_path / "live.m3u8", messages.append) as output:
        push_frames(output, 10)
        wait_until(lambda: output.state == "running")
    assert (output.restarts, output.num_frames, output.last_error) == (2, 10, "")
    assert [message.split(": ")[-1] for message in messages[:2]] == [
        "Too many open files in system; retrying",
        "Too many open files; retrying",
    ]
    assert messages[2:] == [f"{tmp_path / 'live.m3u8'} is written again"]


def test_offer_drops_the_oldest_and_never_waits(tmp_path: Path) -> None:
    output = PushOutput(OutputOptions(url=str(tmp_path / "o.mkv")))
    push_frames(output, 26)
    assert (output.dropped, output.state) == (14, "starting")
    output.close()
    output.run()
    frames = frames_of(tmp_path / "o.mkv")
    assert len(frames) == 12
    assert np.abs(planes(frames[0])[0].astype(int) - planes(MOVING_FRAMES[4])[0]).mean() < 6
    push_frames(output, 10)
    assert (output.num_frames, output.dropped, output.state) == (12, 14, "ended")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("o.mp4", ()), ("o.mkv", ("segment_seconds=100",)), ("o.m3u8", ())])
def test_file_that_may_not_grow_further_is_the_end_and_what_was_written_plays(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    most, frames = (8_000, 500) if name == "o.m3u8" else (50_000, 20_000)

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    process = start_pusher(tmp_path / name, frames, 160, 96, "yuv420p", *options, preexec_fn=limit_file_size)
    _, errors = process.communicate(timeout=60)
    state, taken, last_error = errors.decode().strip().split("|")
    assert state == "ended"
    assert int(taken) < frames
    assert "no space left for" in last_error or "cannot be written: File too large" in last_error
    played = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    assert len(frames_of(played)) >= 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "o.avi"}, r"o\.avi has the suffix '\.avi'; expected one of \.m3u8, \.mp4"),
        ({"url": "o"}, "o has no suffix to choose the format by"),
        ({"url": "o.png"}, r"o\.png has the suffix '\.png'"),
        ({"url": "srt://host:1/x"}, "cannot push to srt://; expected rtsp:// or rtmp://"),
        ({"url": "rtsp:///x"}, "invalid rtsp:// URL without a host; expected rtsp://HOST/NAME"),
        ({"url": "rtmp://user:secret@[::1/x"}, "invalid rtmp:// URL without a host"),
        ({"url": "there.mp4/o.mp4"}, "there.mp4 is a file; expected a folder"),
        ({"url": "there.mp4/deep/o.m3u8"}, "there.mp4 is a file; expected a folder"),
        ({"url": "there.mp4/o.mp4", "segment_seconds": 5}, "there.mp4 is a file; expected a folder"),
        ({"url": "there.mp4"}, r"there\.mp4 exists already; use --overwrite to replace it, or choose another name"),
        ({"url": "there.m3u8"}, r"there\.m3u8 exists already"),
        ({"url": "o.webm", "codec": "h264"}, r"h264 does not go into \.webm"),
        ({"url": "rtmp://h/x", "codec": "hevc"}, "hevc does not go into rtmp; expected one of h264"),
        ({"url": "o.m3u8", "codec": "hevc"}, "hevc does not go into HLS"),
        ({"url": "rtsp://h/x", "codec": "vp9"}, "vp9 does not go into rtsp; expected one of h264, hevc"),
        ({"url": "rtsp://h/x", "crf": 60}, "invalid --crf 60 for h264"),
        ({"url": "rtsp://h/x", "preset": "veryfas"}, "unknown --preset 'veryfas' of h264; .* did you mean"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("there.mp4", "there.m3u8"):
        (tmp_path / name).touch()
    with pytest.raises(StreamcamError, match=message):
        PushOutput(OutputOptions(**options), fps=Fraction(25))
    assert len(list(tmp_path.iterdir())) == 2
