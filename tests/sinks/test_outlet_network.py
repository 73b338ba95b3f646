"""Outlets whose peer is in the network: real ones that come, go, freeze and stay silent."""

from __future__ import annotations

import os
import signal
import socket
import time

import numpy as np
import pytest
from av.video.frame import VideoFrame

from tests.media import planes

from .pushing import SECOND, Listener, camera, flat, free_port, pushed, until, writers

RED, BLUE = (81, 90, 240), (41, 240, 110)


def close_to(line: tuple[int, ...], size: tuple[int, int], codes: tuple[int, ...]) -> bool:
    return line[:2] == size and max(abs(a - b) for a, b in zip(line[2:], codes, strict=True)) <= 2


def url_of(kind: str) -> str:
    return f"{kind}://127.0.0.1:{free_port()}/live/stream"


@pytest.mark.parametrize(("kind", "codec"), [("rtsp", "h264"), ("rtsp", "hevc"), ("rtmp", "h264")])
def test_peer_sees_what_is_pushed_and_another_one_after_it(kind: str, codec: str) -> None:
    url = url_of(kind)
    said: list[str] = []
    with (
        Listener(url) as first,
        pushed(url, said.append, codec=codec, timeout=3, live=True) as outlet,
        camera(outlet, flat(160, 96, *RED)),
    ):
        until(lambda: len(first.lines) > 20)
        assert outlet.state == "running"
        assert all(close_to(line, (160, 96), RED) for line in first.lines)
        before = outlet.restarts
        first.process.kill()
        until(lambda: outlet.restarts > before)
        with Listener(url) as second:
            until(lambda: len(second.lines) > 20)
            assert all(close_to(line, (160, 96), RED) for line in second.lines)
            assert outlet.state == "running"
            assert len(said) == outlet.restarts
            assert said[-1] == f"{outlet.trouble}; it is tried again"
            assert outlet.to in outlet.trouble


def test_pictures_of_another_size_go_into_the_first_ones_size() -> None:
    url = url_of("rtsp")
    with Listener(url) as peer, pushed(url, timeout=3, live=True) as outlet:
        with camera(outlet, flat(160, 96, *RED)):
            until(lambda: len(peer.lines) > 5)
        with camera(outlet, flat(320, 192, *BLUE), start=1000 * SECOND):
            until(lambda: close_to(peer.lines[-1], (160, 96), BLUE))


def test_process_that_is_killed_is_replaced() -> None:
    url = url_of("rtmp")
    with pushed(url, timeout=3, live=True) as outlet, camera(outlet, flat(160, 96, *RED)):
        with Listener(url) as peer:
            until(lambda: outlet.state == "running" and len(peer.lines) > 5)
            before = outlet.restarts
            (pid,) = writers()
            os.kill(pid, signal.SIGKILL)
            until(lambda: outlet.restarts == before + 1)
            assert "was killed (SIGKILL)" in outlet.trouble
        with Listener(url) as peer:
            until(lambda: len(peer.lines) > 5)


@pytest.mark.parametrize("kind", ["rtsp", "rtmp"])
def test_mute_peer_keeps_nobody_waiting(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{kind}://user:secret@127.0.0.1:{mute.getsockname()[1]}/live/key"
        said: list[str] = []
        with (
            pushed(url, said.append, timeout=0.5, live=True) as outlet,
            camera(outlet, flat(160, 96, *RED)) as longest,
        ):
            until(lambda: outlet.restarts >= 2)
            assert "did not answer within 0.5 s" in outlet.trouble
            assert longest[0] < 0.5
            until(lambda: outlet.state == "starting")
            outlet.close()
            before = time.monotonic()
            until(lambda: outlet.state == "ended", outlet.grace + 5)
            assert time.monotonic() - before < outlet.grace + 2
    assert outlet.dropped > 0
    assert not any("secret" in line or "user" in line for line in [*said, outlet.to])
    assert (outlet.to.endswith("/live/***")) == (kind == "rtmp")


def test_frozen_peer_is_given_up_and_pushed_to_again() -> None:
    noise = np.random.default_rng(0)
    busy = []
    for _ in range(4):
        frame = VideoFrame(640, 360, "yuv420p")
        for plane in planes(frame):
            plane[:] = noise.integers(16, 235, plane.shape, np.uint8)
        busy.append(frame)
    url = url_of("rtsp")
    with pushed(url, timeout=1, crf=4, preset="ultrafast", live=True) as outlet, camera(outlet, *busy) as longest:
        with Listener(url) as peer:
            until(lambda: len(peer.lines) > 5)
            before = outlet.restarts
            peer.process.send_signal(signal.SIGSTOP)
            until(lambda: outlet.restarts > before)
            assert "did not answer within 1 s" in outlet.trouble
        with Listener(url) as peer:
            until(lambda: len(peer.lines) > 5)
        assert longest[0] < 0.5


def test_process_that_is_frozen_is_ended() -> None:
    url = url_of("rtsp")
    with Listener(url) as peer, pushed(url, timeout=0.5, live=True) as outlet, camera(outlet, flat(160, 96, *RED)):
        until(lambda: len(peer.lines) > 5)
        before = outlet.restarts
        os.kill(*writers(), signal.SIGSTOP)
        until(lambda: outlet.restarts > before)
        assert outlet.trouble == f"the process for {url} took nothing in time, and was ended"


def test_process_that_does_not_come_to_its_end_is_ended() -> None:
    url = url_of("rtsp")
    with Listener(url) as peer, pushed(url, live=True) as outlet:
        with camera(outlet, flat(160, 96, *RED)):
            until(lambda: len(peer.lines) > 5)
        os.kill(*writers(), signal.SIGSTOP)
    assert outlet.trouble == f"the process for {url} did not come to its end in time, and was ended"


def test_nobody_there_is_said_once_however_often_it_is_tried() -> None:
    url = url_of("rtsp").replace("//", "//user:secret@")
    said: list[str] = []
    with pushed(url, said.append, live=True) as outlet, camera(outlet, flat(160, 96, *RED)):
        until(lambda: outlet.restarts >= 3)
        assert outlet.state in ("waiting", "starting")
    (line,) = said
    assert line.startswith(f"{outlet.to} cannot be reached: Connection refused")
    assert "secret" not in line


def test_hdr_that_the_codec_cannot_keep_is_not_tried_again() -> None:
    deep = flat(160, 96, 400, 512, 512, pixel_format="yuv420p10le")
    deep.color_trc = 16
    url = url_of("rtsp")
    with pushed(url) as outlet:
        outlet.offer(deep, 0)
        until(lambda: outlet.state == "ended")
        assert outlet.trouble == f"{url} is given HDR, which h264 cannot keep; use --codec hevc"
    assert outlet.restarts == 0
