"""Outlets into files and HLS, opened again; what is refused."""

from __future__ import annotations

import io
import os
import resource
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.config import OutletOptions
from streamcam.errors import StreamcamError
from streamcam.sinks.outlet import Outlet
from tests.media import COLOURS, boxes, patch_codes, patches, planes, seconds_of_frames, to_rgb

from .pushing import MOVING, SECOND, STEP, flat, push, pushed, pusher, until, writers


def frames_of(path: Path | io.BytesIO, **options: Any) -> list[av.VideoFrame]:
    with av.open(path if isinstance(path, io.BytesIO) else str(path), **options) as container:
        return list(container.decode(video=0))


def same_pictures(frames: list[av.VideoFrame]) -> bool:
    """Whether they are `MOVING`, in order."""
    return all(
        np.abs(planes(frame)[0].astype(int) - planes(MOVING[index % 10])[0]).mean() < 6
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
def test_every_picture_is_in_the_file_at_its_time(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    target = tmp_path / name
    with pushed(target, **options) as outlet:
        push(outlet, 60)
    assert (outlet.frames, outlet.dropped, outlet.trouble) == (60, 0, "")
    frames = frames_of(target)
    assert len(frames) == 60
    assert same_pictures(frames)
    times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times == pytest.approx([times[0] + index / 25 for index in range(60)], abs=0.002)
    if not name.endswith(".m3u8"):
        assert times[0] == 0
    if name.endswith((".mp4", ".mov")):
        assert boxes(target).index("moov") < boxes(target).index("mdat")


def test_encoder_of_a_stream_holds_no_picture_back(tmp_path: Path) -> None:
    with pushed(tmp_path / "live.m3u8") as outlet:
        push(outlet, 10)
    with av.open(str(tmp_path / "live-00000.ts")) as segment:
        told = bytes(next(segment.demux(video=0)))
    assert all(part in told for part in (b" subme=1 ", b" mbtree=0 ", b" bframes=0 ", b" rc_lookahead=0 "))


def test_list_by_a_relative_name_that_looks_like_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pushed("http:a.m3u8") as outlet:
        push(outlet, 10)
    assert outlet.trouble == ""
    assert len(frames_of(tmp_path / "http:a-00000.ts")) == 10


def test_list_is_a_window_of_segments_that_begin_with_key_pictures_whatever_the_rate(tmp_path: Path) -> None:
    target = tmp_path / "live.m3u8"
    with pushed(target) as outlet:
        for index in range(110):  # 22 seconds of 5 fps from a camera that says 25
            outlet.offer(MOVING[index % 10], index * SECOND // 5)
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


def test_list_goes_on_when_its_process_was_killed(tmp_path: Path) -> None:
    target = tmp_path / "live.m3u8"
    said: list[str] = []
    with pushed(target, said.append) as outlet:
        push(outlet, 150)
        until(lambda: target.exists() and "00001.ts" in target.read_text())
        os.kill(*writers(), signal.SIGKILL)
        until(lambda: outlet.restarts == 1)
        push(outlet, 60, 150)
    assert said == [f"the process for {target} was killed (SIGKILL); it is tried again"]
    text = target.read_text()
    assert text.count("#EXT-X-DISCONTINUITY\n") >= 1
    names = [line for line in text.splitlines() if line.endswith(".ts")]
    assert len(set(names)) == len(names) >= 4
    assert sum(len(frames_of(tmp_path / name)) for name in names) >= 50 + 50 + 60


def test_segments_lose_no_picture_and_begin_anew_at_another_size(tmp_path: Path) -> None:
    with pushed(tmp_path / "door.mp4", segment=1) as outlet:
        push(outlet, 110)
        for index in range(110, 130):
            outlet.offer(flat(320, 192, 81, 90, 240), 12_345 + index * STEP)
    assert (outlet.frames, outlet.dropped, outlet.trouble) == (130, 0, "")
    paths = list(tmp_path.iterdir())
    counts = {path.name: len(seconds_of_frames(path)) for path in paths}
    assert sorted(counts.values()) == [10, 20, 25, 25, 25, 25]
    for path in paths:
        assert path.match("door-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9]*.mp4")
        assert seconds_of_frames(path)[0] == 0
        assert boxes(path).index("moov") < boxes(path).index("mdat")
    assert sorted(frames_of(path)[0].width for path in paths) == [160] * 5 + [320]


def test_segments_go_on_when_their_process_was_killed(tmp_path: Path) -> None:
    with pushed(tmp_path / "door.mkv", segment=60) as outlet:
        push(outlet, 250)
        until(lambda: outlet.frames == 250)
        os.kill(*writers(), signal.SIGKILL)
        until(lambda: outlet.restarts == 1)
        push(outlet, 30, 250)
    killed, last = sorted((len(seconds_of_frames(path)) for path in tmp_path.iterdir()), reverse=True)
    assert killed >= 100
    assert last == 30


def test_file_whose_process_is_killed_plays_and_is_the_end(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    said: list[str] = []
    with pushed(target, said.append) as outlet:
        push(outlet, 300)
        until(lambda: outlet.frames == 300)
        os.kill(*writers(), signal.SIGKILL)
        until(lambda: outlet.state == "ended")
        push(outlet, 10, 300)
    assert said == [outlet.trouble] == [f"the process for {target} was killed (SIGKILL)"]
    assert (outlet.frames, outlet.restarts) == (300, 0)
    assert len(seconds_of_frames(target)) >= 300 - 2 * 50 - 60


def test_single_file_keeps_the_first_size(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    with pushed(target) as outlet:
        outlet.offer(flat(160, 96, 100, 128, 128), 0)
        outlet.offer(flat(320, 96, 81, 90, 240), STEP)
        outlet.offer(flat(96, 96, 200, 128, 128, pixel_format="yuv420p"), 2 * STEP)
    assert outlet.trouble == ""
    assert [(frame.width, frame.height) for frame in frames_of(target)] == [(160, 96)] * 3


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_colour_tags_reach_the_file(tmp_path: Path, suffix: str) -> None:
    shown = patches(1, True)
    shown.color_range, shown.color_primaries, shown.color_trc, shown.colorspace = 2, 1, 13, 1
    with pushed(tmp_path / f"o{suffix}") as outlet:
        for index in range(5):
            outlet.offer(shown, index * STEP)
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == (2, 1, 13, 1)
        assert np.abs(to_rgb(patch_codes(frame), 1, True) - COLOURS).max() <= 6


def test_offer_drops_the_oldest_and_never_waits(tmp_path: Path) -> None:
    outlet = Outlet(OutletOptions(to=str(tmp_path / "o.mkv")))
    push(outlet, 26)
    assert (outlet.dropped, outlet.state) == (14, "starting")
    outlet.close()
    outlet.run()
    frames = frames_of(tmp_path / "o.mkv")
    assert len(frames) == 12
    assert np.abs(planes(frames[0])[0].astype(int) - planes(MOVING[4])[0]).mean() < 6
    push(outlet, 10)
    assert (outlet.frames, outlet.dropped, outlet.state) == (12, 14, "ended")


@pytest.mark.parametrize(("name", "options"), [("o.mp4", ()), ("o.mkv", ("segment=100",)), ("o.m3u8", ())])
def test_file_that_may_not_grow_further_is_the_end_and_what_was_written_plays(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    most, frames = (8_000, 500) if name == "o.m3u8" else (50_000, 20_000)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    process = pusher(tmp_path / name, frames, 160, 96, "yuv420p", *options, preexec_fn=limited)
    _, errors = process.communicate(timeout=60)
    state, taken, trouble = errors.decode().strip().split("|")
    assert state == "ended"
    assert int(taken) < frames
    assert "no space left for" in trouble or "cannot be written: File too large" in trouble
    played = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    assert len(frames_of(played)) >= 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "o.avi"}, r"o\.avi has the suffix '\.avi'; wanted one of \.m3u8, \.mp4"),
        ({"to": "o"}, "o has no suffix to choose the format by"),
        ({"to": "o.png"}, r"o\.png has the suffix '\.png'"),
        ({"to": "srt://host:1/x"}, "nothing can be pushed to srt://; wanted rtsp:// or rtmp://"),
        ({"to": "rtsp:///x"}, "what follows rtsp:// names no host; wanted rtsp://HOST/NAME"),
        ({"to": "rtmp://user:secret@[::1/x"}, "what follows rtmp:// names no host"),
        ({"to": "missing/o.mp4"}, "the folder missing does not exist"),
        ({"to": "missing/deep/o.m3u8"}, "the folder missing does not exist"),
        ({"to": "missing/o.mp4", "segment": 5}, "the folder missing does not exist"),
        ({"to": "there.mp4"}, r"there\.mp4 exists already; use --overwrite to replace it, or choose another name"),
        ({"to": "there.m3u8"}, r"there\.m3u8 exists already"),
        ({"to": "o.webm", "codec": "h264"}, r"h264 does not go into \.webm"),
        ({"to": "rtmp://h/x", "codec": "hevc"}, "hevc does not go into rtmp; wanted one of h264"),
        ({"to": "o.m3u8", "codec": "hevc"}, "hevc does not go into HLS"),
        ({"to": "rtsp://h/x", "codec": "vp9"}, "vp9 does not go into rtsp; wanted one of h264, hevc"),
        ({"to": "rtsp://h/x", "crf": 60}, "--crf 60 is out of range for h264"),
        ({"to": "rtsp://h/x", "preset": "veryfas"}, "--preset 'veryfas' is not known to h264; .* did you mean"),
        ({"to": "rtsp://h/x", "segment": 5}, "--segment cannot be used with rtsp"),
        ({"to": "raw:-", "segment": 5}, "--segment cannot be used with YUV4MPEG2"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("there.mp4", "there.m3u8"):
        (tmp_path / name).touch()
    with pytest.raises(StreamcamError, match=message):
        Outlet(OutletOptions(**options), rate=Fraction(25))
    assert len(list(tmp_path.iterdir())) == 2
