"""Cameras that go on after an end: snapshots, loops, another codec on standard input; and sound before video."""

from __future__ import annotations

import http.server
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO

import av
import pytest

from streamcam.errors import SourceError
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
from streamcam.sources.cameras import opening

from ..media_helpers import gradient_frame, write_clip
from ..mjpeg_server import jpeg
from .camera_reader import read_camera


class Served:
    """One answer for all requests, and their number."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self.content, self.requests = content, 0
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
                pass

            def do_GET(self) -> None:
                served.requests += 1
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                self.wfile.write(served.content)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/camera"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def snapshots() -> Iterator[Served]:
    served = Served(jpeg(160, 96), "image/jpeg")
    yield served
    served.server.shutdown()


def test_a_url_of_one_image_is_requested_again_and_again(snapshots: Served) -> None:
    begin = time.monotonic()
    with read_camera(snapshots.url, snapshot_seconds=0.05) as door:
        door.wait_for_frames(3)
        snapshots.content = jpeg(320, 240)
        door.wait_until(lambda: len(door.infos) == 2, "the other size")
        assert (door.messages, door.camera.reconnects, door.camera.state) == ([], 0, "live")
    assert snapshots.requests <= (time.monotonic() - begin) / 0.05 + 1
    assert snapshots.requests >= len(door.frames)


def test_a_snapshot_that_fails_is_a_loss(snapshots: Served) -> None:
    with read_camera(snapshots.url, snapshot_seconds=0.05) as door:
        door.wait_for_frames(2)
        snapshots.content = b"no image"
        door.wait_until(lambda: door.camera.state == "lost", "loss")
        snapshots.content = jpeg(160, 96)
        door.wait_until(lambda: door.camera.reconnects == 1, "return")


def test_a_file_in_a_loop(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [gradient_frame(160, 96, index) for index in range(5)])
    with read_camera(str(clip), loop=True) as door:
        door.wait_for_frames(12)
        assert (len(door.infos), door.camera.reconnects, door.messages) == (1, 0, [])
    assert {round((b.pts - a.pts) / 3600) for a, b in pairwise(door.frames[:5])} == {1}


def delay_video(flv: bytes) -> bytes:
    """Return FLV without its index, and with its video's header before the first frame, as over RTMP."""
    kept, header, at = flv[:13], b"", 13
    while at < len(flv):
        kind, size = flv[at], int.from_bytes(flv[at + 1 : at + 4], "big")
        tag = flv[at : at + 11 + size + 4]
        at += len(tag)
        if kind == 9 and tag[12] == 0:
            header = tag
        elif kind == 9:
            kept, header = kept + header[:4] + (tag[4:8] if header else b"") + header[8:] + tag, b""
        elif kind == 8:
            kept += tag
    return kept


@pytest.fixture
def sound_first(tmp_path: Path) -> Iterator[Served]:
    """FLV whose video begins two seconds after its sound."""
    target = io.BytesIO()
    with av.open(target, "w", format="flv") as container:
        audio = container.add_stream("aac", rate=44100)
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        packets = []
        for index in range(200):
            samples = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            for plane in samples.planes:
                plane.update(bytes(plane.buffer_size))
            samples.sample_rate, samples.pts, samples.time_base = 44100, index * 1024, Fraction(1, 44100)
            packets += audio.encode(samples)
        for index in range(30):
            frame = gradient_frame(160, 96, index)
            frame.pts, frame.time_base = 50 + index, Fraction(1, 25)
            packets += video.encode(frame)
        packets += [*audio.encode(), *video.encode()]
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    served = Served(delay_video(target.getvalue()), "video/x-flv")
    yield served
    served.server.shutdown()


def test_a_stream_whose_sound_comes_first_is_analysed_until_there_is_video(sound_first: Served) -> None:
    with read_camera(sound_first.url, timeout_seconds=10.0) as door:
        door.wait_for_frames(10)
        # The recording may have ended by now, and be asked for again.
        assert not any("no video" in line for line in door.messages)
    assert sound_first.requests >= 2


def test_only_sound_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch, sound_first: Served) -> None:
    def choose(container: object, name: str) -> object:
        raise SourceError(f"{name} has no video stream, only audio")

    monkeypatch.setattr(opening, "choose_video", choose)
    with read_camera(sound_first.url, reconnect="auto") as door:
        door.wait_until(lambda: door.messages, "report")
        assert "has no video stream, only audio; retrying" in door.messages[0]
        monkeypatch.undo()
        door.wait_for_frames(3)


READ = """
import logging
import sys
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
logging.basicConfig(format="%(message)s", stream=sys.stderr)
last = None
for info, frame in open_camera(CameraOptions(url="-", timeout_seconds=0.5)):
    if info is not last:
        last = info
        print(f"{info.width}x{info.height}", flush=True)
print("ended")
"""


@pytest.mark.slow
@pytest.mark.parametrize("container", ["mkv", "ts"])
def test_standard_input_goes_on_with_another_codec(tmp_path: Path, container: str) -> None:
    first = write_clip(tmp_path / f"first.{container}", [gradient_frame(160, 96, k) for k in range(50)], gop=10)
    frames = [gradient_frame(320, 240, k) for k in range(50)]
    second = write_clip(tmp_path / f"second.{container}", frames, codec="mpeg2video", gop=10)
    changed = threading.Event()

    def feed(pipe: IO[bytes]) -> None:
        with pipe:
            pipe.write(first.read_bytes())
            while not changed.is_set():
                pipe.write(second.read_bytes())

    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        threading.Thread(target=feed, args=(run.stdin,), daemon=True).start()
        assert run.stdout.readline().strip() == b"160x96"
        sizes = iter(run.stdout.readline, b"")  # the wrong decoder may have found some others meanwhile
        assert b"320x240\n" in sizes
        changed.set()
        assert run.stdout.read().split()[-1] == b"ended"


def write_credentials(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_login_from_a_file_and_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logins = write_credentials(tmp_path / "logins", "machine 192.0.2.7 login me password s3:c@ret\n")
    monkeypatch.setenv("STREAMCAM_LOGIN", "other:word")

    def opened_url(url: str, credentials: str = logins) -> str:
        camera = open_camera(CameraOptions(url=url, credentials=credentials))
        assert "s3" not in camera.source
        assert "word" not in camera.source
        return camera._endpoint.url

    assert opened_url("rtsp://192.0.2.7:554/cam?a=b") == "rtsp://me:s3%3Ac%40ret@192.0.2.7:554/cam?a=b"
    assert opened_url("rtsp://192.0.2.8/cam") == "rtsp://other:word@192.0.2.8/cam"
    assert opened_url("http://192.0.2.8/cam", "") == "http://other:word@192.0.2.8/cam"
    assert opened_url("rtsp://its:own@192.0.2.7/cam") == "rtsp://its:own@192.0.2.7/cam"


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("machine h login me password s3cret\n", 0o644, "can be read by others; chmod 600"),
        ("me:s3cret\n", 0o600, "is not in netrc format; expected lines: machine HOST"),
    ],
)
def test_credentials_that_cannot_be_used(tmp_path: Path, text: str, mode: int, message: str) -> None:
    logins = write_credentials(tmp_path / "logins", text, mode)
    with pytest.raises(SourceError, match=message) as raised:
        open_camera(CameraOptions(url="rtsp://h/cam", credentials=logins))
    assert "s3cret" not in str(raised.value)


def test_credentials_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        open_camera(CameraOptions(url="rtsp://h/cam", credentials=str(tmp_path / "none")))
