"""A camera that is killed, frozen, restarted with another format, silent, or absent; the server is a real one."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from streamcam.errors import SourceError
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
from streamcam.sources.cameras import camera

from ..rtsp_server import RtspServer, free_port, refusing
from .camera_reader import TIMEOUT_SECONDS, error_of, read_camera

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _short_retry_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_MAX_RETRY_SECONDS", 0.5)


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer() as running:
        running.start((160, 96), 25)
        yield running


@contextlib.contextmanager
def mute() -> Iterator[int]:
    """A peer that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_frames_of_a_camera(server: RtspServer) -> None:
    begin = time.monotonic()
    with read_camera(server.url, timeout_seconds=5.0) as door:
        door.wait_for_frames(40)
        assert door.camera.state == "live"
    info = door.infos[0]
    assert (info.width, info.height, info.average_fps, info.live) == (160, 96, 25, True)
    assert (info.name, 1 / info.time_base) == (server.url, 90_000)
    assert len(door.infos) == 1
    assert door.messages == []
    arrived = [frame.arrival_time for frame in door.frames]
    assert begin < arrived[0] < arrived[-1] < time.monotonic()
    steps = [b.pts - a.pts for a, b in pairwise(door.frames)]
    assert steps.count(3600) > 30  # the stream's own, not the arrival's


def test_killed_and_started_again_with_another_size(server: RtspServer) -> None:
    with read_camera(server.url, timeout_seconds=2.0, name="door") as door:
        door.wait_for_frames(10)
        server.kill()
        door.wait_until(lambda: door.camera.state == "lost", "loss")
        door.wait_until(lambda: any("refused; check" in line for line in door.messages), "a try that is refused")
        assert "Connection refused" in door.camera.last_error
        before = len(door.frames)
        server.start((320, 240), 10)
        door.wait_for_frames(10)
        assert (door.camera.state, door.camera.last_error, door.camera.reconnects) == ("live", "", 1)
    assert [(info.width, info.height) for info in door.infos] == [(160, 96), (320, 240)]
    assert door.messages[0].startswith(f"door: {server.url} closed the connection; retrying")
    assert door.messages[-1] == f"door: {server.url} is back"
    old, new = door.frames[before - 1], door.frames[before]
    assert (new.pts - old.pts) / 90_000 == pytest.approx(new.arrival_time - old.arrival_time, abs=0.5)


def test_the_same_camera_again_is_no_news(server: RtspServer) -> None:
    with read_camera(server.url, timeout_seconds=2.0) as door:
        door.wait_for_frames(5)
        server.kill()
        server.start((160, 96), 25)
        door.wait_until(lambda: door.camera.reconnects == 1, "return")
        door.wait_for_frames(5)
        assert len(door.infos) == 1


def test_frozen_and_thawed(server: RtspServer) -> None:
    with read_camera(server.url, timeout_seconds=0.6) as door:
        door.wait_for_frames(5)
        frozen = time.monotonic()
        server.freeze()
        door.wait_until(lambda: door.camera.state == "lost", "loss")
        assert time.monotonic() - frozen < 2 * 0.6 + 2
        assert "sent no data for" in door.camera.last_error
        door.wait_until(lambda: "did not answer within 0.6 s" in door.camera.last_error, "a try while it is frozen")
        server.unfreeze()
        door.wait_until(lambda: door.camera.state == "live", "return")
        door.wait_for_frames(5)


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "rtmp"])
def test_a_mute_peer(scheme: str) -> None:
    with mute() as port:
        begin = time.monotonic()
        message = error_of(f"{scheme}://me:s3cret@127.0.0.1:{port}/live/cam", timeout_seconds=0.4)
    assert time.monotonic() - begin < 2 * 0.4 + 2
    name = "***" if scheme == "rtmp" else "cam"  # which may be a key there
    assert message.startswith(f"{scheme}://***@127.0.0.1:{port}/live/{name} did not answer within 0.4 s")


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
def test_no_server_listens(scheme: str) -> None:
    message = error_of(f"{scheme}://me:s3cret@127.0.0.1:{free_port()}/live/cam")
    assert "cannot be reached: Connection refused" in message
    assert "s3cret" not in message


def test_no_such_host() -> None:
    assert "cannot be reached: unknown host 'nowhere.invalid'" in error_of("rtsp://nowhere.invalid/cam")


def test_a_login_is_wanted() -> None:
    with refusing("401 Unauthorized", 'WWW-Authenticate: Basic realm="cam"') as port:
        bare = error_of(f"rtsp://127.0.0.1:{port}/cam")
        wrong = error_of(f"rtsp://me:s3cret@127.0.0.1:{port}/cam")
    assert "401 Unauthorized" in bare
    assert bare.endswith("write the login into the address: rtsp://USER:PASSWORD@HOST")
    assert "s3cret" not in wrong
    assert "write another login into" in wrong


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://me:s3cret@host:554/cam?key=s3cret#s3cret", "rtsp://***@host:554/cam?***"),
        ("rtsp://me:s3@cret@host/cam", "rtsp://***@host/cam"),
        ("rtsp://me:a/s3cret@host/cam", "rtsp://***@host/cam"),
        ("rtsp://me:a#s3cret@host/cam", "rtsp://***@host/cam"),
        ("rtsp://me:a[s3cret@host/cam", "rtsp://***"),
        ("rtsp://[::1]:554/cam", "rtsp://[::1]:554/cam"),
        ("http://host:80/@me/cam", "http://host:80/@me/cam"),
        ("webcam:1", "webcam:1"),
    ],
)
def test_no_login_is_ever_shown(url: str, shown: str) -> None:
    assert open_camera(CameraOptions(url=url)).source == shown


def test_no_such_stream() -> None:
    with refusing("404 Not Found") as port:
        assert "was refused by its server: Server returned 404 Not Found" in error_of(f"rtsp://127.0.0.1:{port}/cam")


@pytest.mark.parametrize(("reconnect", "tries"), [("never", 0), (0, 0), (3, 3)])
def test_given_up(server: RtspServer, reconnect: object, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    lost = camera.Camera._report_loss
    monkeypatch.setattr(camera.Camera, "_report_loss", lambda self, row: (tried.append(1), lost(self, row)))
    with read_camera(server.url, timeout_seconds=2.0, reconnect=reconnect) as door:
        door.wait_for_frames(3)
        server.kill()
        door.wait_until(lambda: door.error is not None, "end")
        assert door.camera.state == "ended"
    assert len(tried) == tries
    assert str(door.error) == door.camera.last_error


def test_the_first_connection_is_waited_for_and_its_lack_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(camera, "wait_random_exponential", lambda **_: lambda row: waits.append(1) or 0.1)
    with RtspServer() as later, read_camera(later.url, timeout_seconds=2.0, reconnect="forever") as door:
        door.wait_until(lambda: len(waits) >= 3, "tries")
        assert door.camera.state == "lost"
        assert len(door.messages) == 1
        later.start((160, 96), 25)
        door.wait_for_frames(3)
        assert door.camera.reconnects == 0
        assert door.messages[-1] == f"cam1: {later.url} is there"


def test_each_wait_is_longer_until_it_has_delivered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies after each first frame does not reset the count of attempts; a stable one does."""
    from ..mjpeg_server import mjpeg_camera

    numbers: list[int] = []
    watch = camera.Camera._report_loss
    monkeypatch.setattr(
        camera.Camera, "_report_loss", lambda self, row: (numbers.append(row.attempt_number), watch(self, row))
    )
    monkeypatch.setattr(camera, "_FIRST_RETRY_SECONDS", 0.001)
    with mjpeg_camera([(64, 48)] * 3) as url:
        with read_camera(url) as door:
            door.wait_until(lambda: len(numbers) >= 4, "losses")
        assert numbers[:4] == [1, 2, 3, 4]
        numbers.clear()
        monkeypatch.setattr(camera, "_STABLE_SECONDS", 0.0)
        with read_camera(url) as door:
            door.wait_until(lambda: len(numbers) >= 4, "losses")
        assert numbers[:4] == [1, 1, 1, 1]


def test_stopping_ends_a_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "wait_random_exponential", lambda **_: lambda row: 3600.0)
    with read_camera(f"rtsp://127.0.0.1:{free_port()}/cam", reconnect="forever") as door:
        door.wait_until(lambda: door.messages, "loss")
        assert door.messages[0].endswith("; retrying")
        begin = time.monotonic()
        door.camera.stop()
        door.thread.join(TIMEOUT_SECONDS)
        assert time.monotonic() - begin < 5
    assert door.error is None


def test_stopping_ends_a_read_within_the_timeout(server: RtspServer) -> None:
    with read_camera(server.url, timeout_seconds=1.0) as door:
        door.wait_for_frames(3)
        server.freeze()
        begin = time.monotonic()
        door.camera.stop()
        door.thread.join(TIMEOUT_SECONDS)
        assert time.monotonic() - begin < 2 * 1.0 + 2
    assert door.error is None


def test_a_reader_that_stops_closes_the_connection(server: RtspServer) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    door = open_camera(CameraOptions(url=server.url))
    frames = iter(door)
    next(frames)
    assert sorted(os.listdir("/proc/self/fd")) != before
    frames.close()  # type: ignore[attr-defined]
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert door.state == "ended"


def test_a_slow_decoder_gets_less_and_its_delay_does_not_grow(server: RtspServer) -> None:
    door = open_camera(CameraOptions(url=server.url, timeout_seconds=5.0, max_latency_seconds=0.3))
    delays = []
    for _, frame in door:
        delays.append(frame.arrival_time - float(frame.video_frame.pts * frame.video_frame.time_base))
        time.sleep(0.15)
        if len(delays) == 18:
            door.stop()
    assert door.dropped > 15
    assert max(delays[4:]) - min(delays) < 1.2  # 2 s, if nothing were left out


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rtps://host/cam", r"^unknown camera rtps://; expected rtsp://.*; did you mean 'rtsps', 'rtsp'"),
        ("missing.mp4", r"^missing\.mp4 does not exist"),
        ("/", r"^/ is a folder"),
    ],
)
def test_an_impossible_source_fails_before_anything_is_opened(url: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_camera(CameraOptions(url=url, reconnect="forever"))
