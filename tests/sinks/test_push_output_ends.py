"""Push outputs whose reader, parent or own process ends; what goes to standard output."""

from __future__ import annotations

import array
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media_helpers import box_types, frame_times, gradient_frame, planes
from tests.rtsp_server import free_port
from tests.waiting import wait_until

from .output_helpers import (
    MOVING_FRAMES,
    is_alive,
    push_frames,
    push_in_thread,
    run_output,
    start_pusher,
    worker_pids,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("to", ["-", "y4m:-"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_standard_output_is_what_another_program_reads(to: str, pixel_format: str) -> None:
    process = start_pusher(to, 60, 162, 98, pixel_format, stdout=subprocess.PIPE)
    out, errors = process.communicate(timeout=60)
    assert errors.decode() == "ended|60|\n"
    with av.open(io.BytesIO(out)) as container:
        assert container.format.name == ("mpegts" if to == "-" else "yuv4mpegpipe")
        frames = list(container.decode(video=0))
    assert len(frames) == 60
    assert (frames[0].width, frames[0].height) == (162, 98)
    sent = planes(gradient_frame(162, 98, 9, pixel_format))[0]
    got = planes(frames[59])[0].astype(np.uint16) * (4 if frames[0].format.name != pixel_format else 1)
    if to == "y4m:-":
        assert frames[0].format.name == pixel_format
        np.testing.assert_array_equal(got, sent)
    else:
        assert np.abs(got.astype(int) - sent).mean() < (24 if pixel_format == "yuv420p10le" else 6)


@pytest.mark.parametrize("to", ["-", "y4m:-"])
def test_reader_of_standard_output_that_goes_is_the_end(to: str) -> None:
    process = start_pusher(to, 100_000, 160, 96, "yuv420p", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1000)
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    state, frames, last_error = errors.decode().strip().split("|")
    assert (state, last_error) == ("ended", "the reader of standard output closed it")
    assert 0 < int(frames) < 100_000


def test_terminal_is_refused() -> None:
    controller, terminal = os.openpty()
    process = start_pusher("-", 1, 160, 96, "yuv420p", stdout=terminal)
    _, errors = process.communicate(timeout=60)
    os.close(controller)
    os.close(terminal)
    assert errors.decode() == "standard output is a terminal; pipe it into a program, or write a file\n"


def test_parent_that_is_killed_leaves_a_whole_file_and_no_process(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    parent = start_pusher(target, 1_000_000, 160, 96, "yuv420p")
    wait_until(lambda: target.exists() and target.stat().st_size > 20_000)
    (pid,) = worker_pids(parent.pid)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(pid))
    assert box_types(target).index("moov") < box_types(target).index("mdat")
    assert len(frame_times(target)) > 50


@pytest.mark.parametrize("kind", ["rtsp", "rtmp"])
def test_parent_that_is_killed_leaves_no_process_at_a_mute_peer(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        url = f"{kind}://127.0.0.1:{mute.getsockname()[1]}/live/x"
        parent = start_pusher(url, 100_000, 160, 96, "yuv420p", "timeout_seconds=4")
        with mute.accept()[0]:
            (pid,) = worker_pids(parent.pid)
            parent.kill()
            parent.communicate()
            assert is_alive(pid)
            wait_until(lambda: not is_alive(pid))


@pytest.mark.parametrize("to", ["-", "y4m:-"])
def test_parent_that_is_killed_leaves_no_process_at_a_reader_that_does_not_read(to: str) -> None:
    parent = start_pusher(to, 100_000, 160, 96, "yuv420p", stdout=subprocess.PIPE)
    unread = array.array("i", [0])

    def is_full() -> bool:
        assert parent.stdout is not None
        fcntl.ioctl(parent.stdout, termios.FIONREAD, unread)
        return unread[0] > 60_000

    wait_until(is_full)
    (pid,) = worker_pids(parent.pid)
    parent.kill()
    parent.wait()
    assert is_alive(pid)
    wait_until(lambda: not is_alive(pid))
    parent.communicate()


def test_worker_that_fails_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av.py").write_text("raise ImportError('a library\\nis missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    messages: list[str] = []
    with run_output(tmp_path / "o.mp4", messages.append) as output:
        wait_until(lambda: output.state == "ended")
    assert messages == [f"the process for {tmp_path / 'o.mp4'} failed: is missing"]


def test_end_leaves_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    def count_held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    with run_output(tmp_path / "warm.mkv") as output:
        push_frames(output, 2)
    before = count_held()
    with run_output(tmp_path / "o.mkv") as output:
        push_frames(output, 10)
    with run_output(f"rtsp://127.0.0.1:{free_port()}/x") as output:
        push_frames(output, 2)
        wait_until(lambda: output.state == "waiting")
    with run_output(tmp_path / "nothing.mp4"):
        pass
    assert count_held() == before
    assert not (tmp_path / "nothing.mp4").exists()


def test_process_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    before = len(os.listdir("/proc/self/fd"))
    with run_output(tmp_path / "o.mp4") as output:
        wait_until(lambda: output.state == "ended")
        assert output.last_error == f"cannot start the process for {tmp_path / 'o.mp4'}: No such file or directory"
    with run_output("rtsp://127.0.0.1:1/x") as output:
        wait_until(lambda: output.restarts == 2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_terminal_signals_do_not_reach_the_process(tmp_path: Path) -> None:
    with run_output(tmp_path / "o.mp4", live=True) as output, push_in_thread(output, *MOVING_FRAMES):
        wait_until(lambda: output.state == "running")
        (pid,) = worker_pids()
        assert os.getsid(pid) != os.getsid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        before = output.num_frames
        wait_until(lambda: output.num_frames > before + 10)
    assert output.last_error == ""
    assert len(frame_times(tmp_path / "o.mp4")) == output.num_frames
