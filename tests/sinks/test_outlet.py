"""Outlets into files, HLS and standard output, opened again; checks; ends."""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.config import OutletOptions
from streamcam.errors import StreamcamError
from streamcam.sinks.outlet import Outlet
from streamcam.sinks.push.fit import Fitted
from streamcam.sinks.push.wire import colour_of, packed, pictures, write_some
from tests.media import COLOURS, boxes, patch_codes, patches, picture, planes, seconds_of_frames, to_rgb

from .pushing import SECOND, STEP, alive, camera, flat, free_port, pushed, pusher, until, writers

MOVING = [picture(160, 96, index) for index in range(10)]


def push(outlet: Outlet, frames: int, start: int = 0) -> None:
    for index in range(start, start + frames):
        outlet.offer(MOVING[index % 10], 12_345 + index * STEP)


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
    paths = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_ino)
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


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_another_size_is_put_into_the_first_with_borders(pixel_format: str) -> None:
    deep = 4 if pixel_format.endswith("10le") else 1
    fitted = Fitted(flat(160, 96, 100 * deep, 90 * deep, 140 * deep, pixel_format=pixel_format))
    for width, height, inside in ((320, 96, (48, 160)), (96, 96, (96, 96)), (80, 48, (96, 160))):
        luma, blue, red = planes(fitted(flat(width, height, 81, 90, 240)))
        assert luma.shape == (96, 160)
        rows, columns = np.nonzero(np.abs(luma - 81.0 * deep) <= deep)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == inside
        assert rows.min() + rows.max() + 1 == pytest.approx(96, abs=1)
        assert columns.min() + columns.max() + 1 == pytest.approx(160, abs=1)
        assert len(rows) == inside[0] * inside[1]
        border = luma[luma != luma[48, 80]]
        assert set(border.tolist()) <= {16 * deep}
        assert (blue[24, 40], red[24, 40]) == (90 * deep, 240 * deep)


def test_another_size_keeps_its_colours() -> None:
    first, other = patches(1, True), patches(6, False)
    first.color_range, first.colorspace, other.color_range, other.colorspace = 2, 1, 1, 6
    wide = av.video.reformatter.VideoReformatter().reformat(other, 512, 128)
    wide.color_range, wide.colorspace = 1, 6
    assert np.abs(to_rgb(patch_codes(Fitted(first)(wide)), 1, True) - COLOURS).max() <= 4


def test_single_file_keeps_the_first_size(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    with pushed(target) as outlet:
        outlet.offer(flat(160, 96, 100, 128, 128), 0)
        outlet.offer(flat(320, 96, 81, 90, 240), STEP)
        outlet.offer(flat(96, 96, 200, 128, 128, pixel_format="yuv420p"), 2 * STEP)
    assert outlet.trouble == ""
    assert [(frame.width, frame.height) for frame in frames_of(target)] == [(160, 96)] * 3


@pytest.mark.parametrize(("size", "pixel_format"), [((160, 96), "yuv420p"), ((162, 98), "yuv420p10le")])
def test_picture_and_tags_arrive_as_they_were(size: tuple[int, int], pixel_format: str) -> None:
    sent = picture(*size, 3, pixel_format)
    sent.color_range, sent.color_primaries, sent.color_trc, sent.colorspace = 2, 9, 13, 6
    read, write = os.pipe()

    def feed() -> None:
        views = packed(sent, 1 << 40) + packed(sent, (1 << 40) + 1)[:2]
        while views:
            views = write_some(write, views)
        os.close(write)

    thread = threading.Thread(target=feed)
    thread.start()
    with open(read, "rb") as file:
        (arrived,) = pictures(file)  # the second is cut off
    thread.join()
    assert arrived[1] == 1 << 40
    assert arrived[0].format.name == pixel_format
    assert colour_of(arrived[0]) == colour_of(sent)
    for plane, other in zip(planes(arrived[0]), planes(sent), strict=True):
        np.testing.assert_array_equal(plane, other)


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


@pytest.mark.parametrize("to", ["-", "raw:-"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_standard_output_is_what_another_program_reads(to: str, pixel_format: str) -> None:
    process = pusher(to, 60, 162, 98, pixel_format, stdout=subprocess.PIPE)
    out, errors = process.communicate(timeout=60)
    assert errors.decode() == "ended|60|\n"
    with av.open(io.BytesIO(out)) as container:
        assert container.format.name == ("mpegts" if to == "-" else "yuv4mpegpipe")
        frames = list(container.decode(video=0))
    assert len(frames) == 60
    assert (frames[0].width, frames[0].height) == (162, 98)
    sent = planes(picture(162, 98, 9, pixel_format))[0]
    got = planes(frames[59])[0].astype(np.uint16) * (4 if frames[0].format.name != pixel_format else 1)
    if to == "raw:-":
        assert frames[0].format.name == pixel_format
        np.testing.assert_array_equal(got, sent)
    else:
        assert np.abs(got.astype(int) - sent).mean() < (24 if pixel_format == "yuv420p10le" else 6)


@pytest.mark.parametrize("to", ["-", "raw:-"])
def test_reader_of_standard_output_that_goes_is_the_end(to: str) -> None:
    process = pusher(to, 100_000, 160, 96, "yuv420p", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1000)
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    state, frames, trouble = errors.decode().strip().split("|")
    assert (state, trouble) == ("ended", "nobody reads standard output any more")
    assert 0 < int(frames) < 100_000


def test_terminal_is_refused() -> None:
    controller, terminal = os.openpty()
    process = pusher("-", 1, 160, 96, "yuv420p", stdout=terminal)
    _, errors = process.communicate(timeout=60)
    os.close(controller)
    os.close(terminal)
    assert errors.decode() == "standard output is a terminal; pipe it into a program, or write a file\n"


def test_parent_that_is_killed_leaves_a_whole_file_and_no_process(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    parent = pusher(target, 1_000_000, 160, 96, "yuv420p")
    until(lambda: target.exists() and target.stat().st_size > 20_000)
    (pid,) = writers(parent.pid)
    parent.kill()
    parent.communicate()
    until(lambda: not alive(pid))
    assert boxes(target).index("moov") < boxes(target).index("mdat")
    assert len(seconds_of_frames(target)) > 50


@pytest.mark.parametrize("to", ["rtsp", "rtmp", "-", "raw:-"])
def test_parent_that_is_killed_leaves_no_process_where_nothing_is_taken(to: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = to if "-" in to else f"{to}://127.0.0.1:{mute.getsockname()[1]}/live/x"
        parent = pusher(url, 100_000, 640, 360, "yuv420p", "timeout=4", stdout=subprocess.PIPE)
        if "-" in to:
            assert parent.stdout is not None
            parent.stdout.read(1)
        else:
            mute.settimeout(60)
            connection, _ = mute.accept()
        (pid,) = writers(parent.pid)
        parent.kill()
        parent.wait()
        assert alive(pid)
        until(lambda: not alive(pid))
        parent.communicate()


def test_end_leaves_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    with pushed(tmp_path / "warm.mkv") as outlet:
        push(outlet, 2)
    before = held()
    with pushed(tmp_path / "o.mkv") as outlet:
        push(outlet, 10)
    with pushed(f"rtsp://127.0.0.1:{free_port()}/x") as outlet:
        push(outlet, 2)
        until(lambda: outlet.state == "waiting")
    with pushed(tmp_path / "nothing.mp4"):
        pass
    assert held() == before
    assert not (tmp_path / "nothing.mp4").exists()


def test_process_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    before = len(os.listdir("/proc/self/fd"))
    with pushed(tmp_path / "o.mp4") as outlet:
        until(lambda: outlet.state == "ended")
        assert outlet.trouble == f"no process for {tmp_path / 'o.mp4'} can be started: No such file or directory"
    with pushed("rtsp://127.0.0.1:1/x") as outlet:
        until(lambda: outlet.restarts == 2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_offer_drops_the_oldest_and_never_waits(tmp_path: Path) -> None:
    outlet = Outlet(OutletOptions(to=str(tmp_path / "o.mkv")))
    push(outlet, 10)
    assert (outlet.dropped, outlet.state) == (6, "starting")
    outlet.close()
    outlet.run()
    frames = frames_of(tmp_path / "o.mkv")
    assert len(frames) == 4
    assert np.abs(planes(frames[0])[0].astype(int) - planes(MOVING[6])[0]).mean() < 6
    push(outlet, 10)
    assert (outlet.frames, outlet.dropped, outlet.state) == (4, 6, "ended")


def test_terminal_signals_do_not_reach_the_process(tmp_path: Path) -> None:
    with pushed(tmp_path / "o.mp4", live=True) as outlet, camera(outlet, *MOVING):
        until(lambda: outlet.state == "running")
        (pid,) = writers()
        assert os.getsid(pid) != os.getsid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        before = outlet.frames
        until(lambda: outlet.frames > before + 10)
    assert outlet.trouble == ""
    assert len(seconds_of_frames(tmp_path / "o.mp4")) == outlet.frames


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
        ({"to": "rtsp:///x"}, "names no host"),
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
