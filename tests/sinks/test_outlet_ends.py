"""Outlets whose reader, parent or own process ends; what goes to standard output."""

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

from tests.media import boxes, picture, planes, seconds_of_frames

from .pushing import MOVING, alive, camera, free_port, push, pushed, pusher, until, writers


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


@pytest.mark.parametrize("kind", ["rtsp", "rtmp"])
def test_parent_that_is_killed_leaves_no_process_at_a_mute_peer(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        url = f"{kind}://127.0.0.1:{mute.getsockname()[1]}/live/x"
        parent = pusher(url, 100_000, 160, 96, "yuv420p", "timeout=4")
        with mute.accept()[0]:
            (pid,) = writers(parent.pid)
            parent.kill()
            parent.communicate()
            assert alive(pid)
            until(lambda: not alive(pid))


@pytest.mark.parametrize("to", ["-", "raw:-"])
def test_parent_that_is_killed_leaves_no_process_at_a_reader_that_does_not_read(to: str) -> None:
    parent = pusher(to, 100_000, 160, 96, "yuv420p", stdout=subprocess.PIPE)
    unread = array.array("i", [0])

    def full() -> bool:
        assert parent.stdout is not None
        fcntl.ioctl(parent.stdout, termios.FIONREAD, unread)
        return unread[0] > 60_000

    until(full)
    (pid,) = writers(parent.pid)
    parent.kill()
    parent.wait()
    assert alive(pid)
    until(lambda: not alive(pid))
    parent.communicate()


def test_process_that_breaks_is_told_of_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av.py").write_text("raise ImportError('a library\\nis missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said: list[str] = []
    with pushed(tmp_path / "o.mp4", said.append) as outlet:
        until(lambda: outlet.state == "ended")
    assert said == [f"the process for {tmp_path / 'o.mp4'} failed: is missing"]


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
