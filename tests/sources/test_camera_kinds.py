"""Cameras other than RTSP: MJPEG and HLS over http, files, filters, standard input."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import pytest

from streamcam.options import CameraOptions
from streamcam.sources.cameras import camera
from streamcam.sources.cameras.camera_urls import rtsp

from ..media_helpers import gradient_frame, write_audio, write_clip
from ..mjpeg_server import mjpeg_camera
from .camera_reader import TIMEOUT_SECONDS, error_of, read_camera
from .http_folder import serve_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """A second of MPEG-TS, with B-frames."""
    frames = [gradient_frame(160, 96, index) for index in range(25)]
    return write_clip(tmp_path / "clip.ts", frames, options={"bf": "2"})


def test_sizes_that_change_during_the_stream_are_reported() -> None:
    sizes = [(160, 96)] * 10 + [(320, 240)] * 10 + [(160, 96)] * 200
    with mjpeg_camera(sizes, rate=50) as url, read_camera(url, timeout_seconds=5.0) as door:
        door.wait_for_frames(40)
    assert [(info.width, info.height) for info in door.infos] == [(160, 96), (320, 240), (160, 96)]
    assert door.infos[0].pixel_format == "yuv420p"
    assert door.infos[0].average_fps is None  # nothing in MJPEG tells


@pytest.mark.parametrize(("audio", "media"), [("copy", "video+audio"), ("none", "video")])
def test_rtsp_asks_for_the_sound_that_is_copied(audio: Literal["copy", "none"], media: str) -> None:
    endpoint = rtsp(CameraOptions(url="rtsp://127.0.0.1/cam", audio=audio))
    assert endpoint.options["allowed_media_types"] == media


def test_a_stream_without_time_is_placed_by_arrival() -> None:
    with mjpeg_camera([(160, 96)] * 100, rate=10) as url, read_camera(url, timeout_seconds=5.0) as door:
        door.wait_for_frames(15)
    late = door.frames[5:]  # those before were analysed first
    assert [b.pts - a.pts for a, b in pairwise(late)] == pytest.approx(
        [90_000 * (b.arrival_time - a.arrival_time) for a, b in pairwise(late)], abs=2
    )


def test_what_cannot_be_decoded_for_too_long_is_lost() -> None:
    with mjpeg_camera([(160, 96)] * 5 + [None] * 500, rate=50) as url, read_camera(url, timeout_seconds=0.5) as door:
        door.wait_until(lambda: door.camera.state == "lost", "loss")
        assert "sent no decodable frame for 0.5 s" in door.camera.last_error
        assert door.camera.skipped > 0
        door.wait_until(lambda: door.camera.reconnects, "return")


@pytest.mark.slow
def test_two_hundred_connections_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(camera, "_MAX_RETRY_SECONDS", 0.001)
    with mjpeg_camera([(160, 96)] * 3) as url, read_camera(url, timeout_seconds=5.0) as door:

        def count_descriptors() -> tuple[int, int, int]:
            door.wait_until(lambda: door.camera.state == "live", "frame")
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            return len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE")

        door.wait_until(lambda: door.camera.reconnects >= 40, "reconnects")
        files, threads, memory = count_descriptors()
        door.wait_until(lambda: door.camera.reconnects >= 240, "reconnects")
        files_then, threads_then, memory_then = count_descriptors()
        assert len(door.infos) == 1
    assert files_then <= files + 4  # a connection under way, here and at the server
    assert threads_then <= threads + 2
    assert memory_then < memory * 1.05


@pytest.mark.slow
def test_a_file_at_its_own_rate(stream: Path) -> None:
    begin = time.monotonic()
    with read_camera(str(stream)) as door:
        door.thread.join(TIMEOUT_SECONDS)
        assert door.camera.state == "ended"
        assert time.monotonic() - begin > 0.9
    assert [b.pts - a.pts for a, b in pairwise(door.frames)] == [3600] * 24
    assert door.error is None
    assert (door.infos[0].live, door.infos[0].average_fps) == (True, 25)


def test_a_file_as_fast_as_possible_keeps_its_time(stream: Path) -> None:
    with read_camera(str(stream), realtime=False) as door:
        door.thread.join(TIMEOUT_SECONDS)
    assert [frame.pts - door.frames[0].pts for frame in door.frames] == [3600 * index for index in range(25)]
    assert door.frames[-1].arrival_time - door.frames[0].arrival_time < 0.9


def test_a_rotated_frame_is_upright(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "turned.mp4", [gradient_frame(160, 96)] * 3, rotation=90, aspect=Fraction(4, 3))
    with read_camera(str(clip), realtime=False) as door:
        door.thread.join(TIMEOUT_SECONDS)
    info = door.infos[0]
    assert (info.width, info.height, info.pixel_aspect) == (96, 160, Fraction(3, 4))


def test_no_frame_is_invented_before_the_first_key_frame(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.ts", [gradient_frame(160, 96, k) for k in range(50)], codec="mpeg4", gop=20)
    cut = tmp_path / "cut.ts"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[5:-1]:
            packet.stream = stream
            target.mux(packet)
    with read_camera(str(cut), realtime=False) as door:
        door.thread.join(TIMEOUT_SECONDS)
    assert len(door.frames) == 30
    assert (door.camera.skipped, door.camera.dropped) == (0, 0)


def test_filters_are_a_camera_in_real_time() -> None:
    with read_camera("lavfi:testsrc2=size=160x96:rate=30000/1001:duration=1") as door:
        door.thread.join(TIMEOUT_SECONDS)
    assert len(door.frames) == 30
    assert door.frames[-1].arrival_time - door.frames[0].arrival_time > 0.9
    assert door.infos[0].average_fps == Fraction(30000, 1001)
    assert {b.pts - a.pts for a, b in pairwise(door.frames)} == {3003}


def test_stopping_ends_the_pacing_at_once() -> None:
    with read_camera("lavfi:testsrc2=size=160x96:rate=1/20") as door:
        door.wait_until(lambda: door.frames, "frame")
        begin = time.monotonic()
        door.camera.stop()
        door.thread.join(TIMEOUT_SECONDS)
        assert time.monotonic() - begin < 5
    assert len(door.frames) == 1


def test_a_recording_over_http_ends(clip: Path) -> None:
    with serve_folder(clip.parent) as base, read_camera(f"{base}/{clip.name}") as door:
        door.thread.join(TIMEOUT_SECONDS)
    assert len(door.frames) == 50
    assert door.frames[-1].arrival_time - door.frames[0].arrival_time > 1.8
    assert door.error is None


@pytest.mark.slow
def test_hls_comes_in_segments_and_goes_on_in_real_time(stream: Path) -> None:
    with serve_folder(stream.parent) as base:
        head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
        live = stream.with_name("live.m3u8")
        live.write_text(head + f"#EXTINF:1.0,\n{stream.name}\n")
        with read_camera(f"{base}/{live.name}", timeout_seconds=1.0) as door:
            door.wait_until(lambda: len(door.frames) >= 20, "frames")
            assert door.frames[19].arrival_time - door.frames[0].arrival_time > 0.6
            assert door.camera.state != "ended"
            door.wait_until(lambda: door.camera.state == "lost", "the end of what there is")


READ = """
import logging
import sys
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
logging.basicConfig(format="%(message)s", stream=sys.stdout)
camera = open_camera(CameraOptions(url="-", timeout_seconds=0.3))
frames = [frame for _, frame in camera]
print(len(frames), camera.state, camera.reconnects)
"""


def reader() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen([sys.executable, "-c", READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)


@pytest.mark.slow
def test_standard_input(stream: Path) -> None:
    with reader() as process:
        out, _ = process.communicate(stream.read_bytes(), timeout=TIMEOUT_SECONDS)
    assert out.decode().split() == ["25", "ended", "0"]


@pytest.mark.slow
def test_standard_input_that_is_silent_for_a_while(stream: Path) -> None:
    with reader() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"cam1: standard input sent no data for 0.3 s\n"
        out, _ = process.communicate(stream.read_bytes(), timeout=TIMEOUT_SECONDS)
    assert out.decode().splitlines()[-1] == "25 ended 0"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("lavfi:testsrc9", "lavfi:testsrc9 is not a valid filter graph: Filter not found; try lavfi:testsrc2="),
        ("lavfi:sine", "has no video stream, only audio"),
    ],
)
def test_filters_without_video_output(url: str, message: str) -> None:
    assert message in error_of(url)


def test_files_that_are_no_video(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(random.Random(1).randbytes(4096))
    assert "is not a video" in error_of(str(noise))
    assert "has no video stream, only audio" in error_of(str(write_audio(tmp_path / "sound.mp4")))


def test_a_page_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>A camera's login page</html>" * 100)
    with serve_folder(tmp_path) as base:
        assert "is not a video" in error_of(f"{base}/index.html")
