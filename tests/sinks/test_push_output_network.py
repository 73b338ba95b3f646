"""Push outputs to peers in the network: real ones that come, go, freeze and stay silent."""

from __future__ import annotations

import os
import signal
import socket
import time

import numpy as np
import pytest
from av.video.frame import VideoFrame

from tests.media_helpers import planes
from tests.rtsp_server import free_port
from tests.waiting import wait_until

from .output_helpers import TICKS_PER_SECOND, Listener, push_in_thread, run_output, solid_frame, worker_pids

pytestmark = pytest.mark.slow

RED, BLUE = (81, 90, 240), (41, 240, 110)


def close_to(line: tuple[int, ...], size: tuple[int, int], codes: tuple[int, ...]) -> bool:
    return line[:2] == size and max(abs(a - b) for a, b in zip(line[2:], codes, strict=True)) <= 2


def url_of(kind: str) -> str:
    return f"{kind}://127.0.0.1:{free_port()}/live/stream"


@pytest.mark.parametrize(("kind", "codec"), [("rtsp", "h264"), ("rtsp", "hevc"), ("rtmp", "h264")])
def test_peer_sees_what_is_pushed_and_another_one_after_it(kind: str, codec: str) -> None:
    url = url_of(kind)
    messages: list[str] = []
    with (
        Listener(url) as first,
        run_output(url, messages.append, codec=codec, timeout_seconds=3, live=True) as output,
        push_in_thread(output, solid_frame(160, 96, *RED)),
    ):
        wait_until(lambda: len(first.lines) > 20)
        assert output.state == "running"
        assert all(close_to(line, (160, 96), RED) for line in first.lines)
        before = output.restarts
        first.process.kill()
        wait_until(lambda: output.restarts > before)
        with Listener(url) as second:
            wait_until(lambda: len(second.lines) > 20)
            assert all(close_to(line, (160, 96), RED) for line in second.lines)
            assert output.state == "running"
            assert output.last_error == ""
            assert messages[-2].endswith("; retrying")
            assert output.url in messages[-2]
            assert messages[-1] == f"{output.url} is written again"


def test_frames_of_another_size_go_into_the_first_ones_size() -> None:
    url = url_of("rtsp")
    with Listener(url) as peer, run_output(url, timeout_seconds=3, live=True) as output:
        with push_in_thread(output, solid_frame(160, 96, *RED)):
            wait_until(lambda: len(peer.lines) > 5)
        with push_in_thread(output, solid_frame(320, 192, *BLUE), start=1000 * TICKS_PER_SECOND):
            wait_until(lambda: close_to(peer.lines[-1], (160, 96), BLUE))


def test_process_that_is_killed_is_replaced() -> None:
    url = url_of("rtmp")
    with run_output(url, timeout_seconds=3, live=True) as output, push_in_thread(output, solid_frame(160, 96, *RED)):
        with Listener(url) as peer:
            wait_until(lambda: output.state == "running" and len(peer.lines) > 5)
            before = output.restarts
            (pid,) = worker_pids()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: output.restarts == before + 1)
            assert "was killed (SIGKILL)" in output.last_error
        with Listener(url) as peer:
            wait_until(lambda: len(peer.lines) > 5)


@pytest.mark.parametrize("kind", ["rtsp", "rtmp"])
def test_mute_peer_blocks_no_caller(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{kind}://user:secret@127.0.0.1:{mute.getsockname()[1]}/live/key"
        messages: list[str] = []
        with (
            run_output(url, messages.append, timeout_seconds=0.5, live=True) as output,
            push_in_thread(output, solid_frame(160, 96, *RED)) as longest,
        ):
            wait_until(lambda: output.restarts >= 2)
            assert "did not answer within 0.5 s" in output.last_error
            assert longest[0] < 0.5
            wait_until(lambda: output.state == "starting")
            output.close()
            before = time.monotonic()
            wait_until(lambda: output.state == "ended", output.shutdown_timeout_seconds + 5)
            assert time.monotonic() - before < output.shutdown_timeout_seconds + 2
    assert output.dropped > 0
    assert not any("secret" in line or "user" in line for line in [*messages, output.url])
    assert (output.url.endswith("/live/***")) == (kind == "rtmp")


def test_frozen_peer_is_given_up_and_pushed_to_again() -> None:
    noise = np.random.default_rng(0)
    busy = []
    for _ in range(4):
        frame = VideoFrame(640, 360, "yuv420p")
        for plane in planes(frame):
            plane[:] = noise.integers(16, 235, plane.shape, np.uint8)
        busy.append(frame)
    url = url_of("rtsp")
    with (
        run_output(url, timeout_seconds=1, crf=4, preset="ultrafast", live=True) as output,
        push_in_thread(output, *busy) as longest,
    ):
        with Listener(url) as peer:
            wait_until(lambda: len(peer.lines) > 5)
            before = output.restarts
            peer.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: output.restarts > before)
            assert "did not answer within 1 s" in output.last_error
        with Listener(url) as peer:
            wait_until(lambda: len(peer.lines) > 5)
        assert longest[0] < 0.5


def test_process_that_is_frozen_is_ended() -> None:
    url = url_of("rtsp")
    with (
        Listener(url) as peer,
        run_output(url, timeout_seconds=0.5, live=True) as output,
        push_in_thread(output, solid_frame(160, 96, *RED)),
    ):
        wait_until(lambda: len(peer.lines) > 5)
        before = output.restarts
        os.kill(*worker_pids(), signal.SIGSTOP)
        wait_until(lambda: output.restarts > before)
        assert output.last_error == f"the process for {url} read no frame in time and was killed"


def test_process_that_does_not_come_to_its_end_is_ended() -> None:
    url = url_of("rtsp")
    with Listener(url) as peer, run_output(url, live=True) as output:
        with push_in_thread(output, solid_frame(160, 96, *RED)):
            wait_until(lambda: len(peer.lines) > 5)
        os.kill(*worker_pids(), signal.SIGSTOP)
    assert output.last_error == f"the process for {url} did not finish in time and was killed"


def test_missing_peer_is_logged_once_for_all_attempts() -> None:
    url = url_of("rtsp").replace("//", "//user:secret@")
    messages: list[str] = []
    with run_output(url, messages.append, live=True) as output, push_in_thread(output, solid_frame(160, 96, *RED)):
        wait_until(lambda: output.restarts >= 3)
        assert output.state in ("waiting", "starting")
    (line,) = messages
    assert line.startswith(f"{output.url} cannot be reached: Connection refused")
    assert "secret" not in line


def test_hdr_that_the_codec_cannot_keep_is_not_tried_again() -> None:
    deep = solid_frame(160, 96, 400, 512, 512, pixel_format="yuv420p10le")
    deep.color_trc = 16
    url = url_of("rtsp")
    with run_output(url) as output:
        output.submit(deep, 0)
        wait_until(lambda: output.state == "ended")
        assert output.last_error == f"{url} receives HDR, which h264 cannot keep; use --codec hevc"
    assert output.restarts == 0
