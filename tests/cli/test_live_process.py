"""``streamcam live`` in a process of its own: signals, kills, standard output and a camera that comes and goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.rtsp_server import RtspServer, free_port

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]


SMALL = ["--model", "tests.pipeline.models:brightness", "--preprocess", "none", "--precision", "float32"]


PATTERN = "lavfi:testsrc2=size=128x96:rate=25"


class Run:
    """``streamcam live`` in a process of its own."""

    def __init__(self, *arguments: object, **more: Any) -> None:
        command = [sys.executable, "-m", "streamcam", "live", *map(str, arguments), *SMALL]
        self.process = subprocess.Popen(
            command, **({"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more)
        )

    def wait_until(self, condition: Callable[[], Any]) -> None:
        beat = threading.Event()
        for _ in range(900):
            if condition():
                return
            assert self.process.poll() is None, self.process.communicate()
            beat.wait(0.1)
        raise AssertionError("not in 90 s")

    def children(self) -> list[int]:
        """Return the living processes that this one started."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == self.process.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return found


@pytest.mark.slow
def test_an_error_while_tensorflow_is_imported_is_printed() -> None:
    run = Run("webcam:77", "--http", "off")
    report, errors = run.process.communicate(timeout=120)
    assert run.process.returncode == 1
    assert "webcam:77" in errors
    run = Run(f"rtsp://127.0.0.1:{free_port()}/cam", "--http", "off")
    report, errors = run.process.communicate(timeout=120)
    assert (run.process.returncode, report) == (1, "")
    assert "cannot be reached" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_a_thread_that_cannot_be_ended_does_not_change_the_exit_code() -> None:
    code = (
        "import threading, sys; from streamcam import cli; from streamcam.cli import app; "
        "threading.Thread(target=threading.Event().wait, name='streamcam-stuck', daemon=True).start(); "
        "sys.argv = ['streamcam', 'process', 'nowhere.mp4']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "nowhere.mp4" in done.stderr


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*arguments: object, **more: Any) -> Run:
        runs.append(Run(*arguments, **more))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_closes_its_outputs(start: Any, tmp_path: Path, number: signal.Signals) -> None:
    out, playlist = tmp_path / "out.mp4", tmp_path / "hls" / "live.m3u8"
    run = start(PATTERN, "--to", out, "--to", playlist, "--json")
    run.wait_until(lambda: out.exists() and out.stat().st_size > 20_000 and playlist.exists())
    children = run.children()
    assert len(children) == 2
    run.process.send_signal(number)
    report, errors = run.process.communicate(timeout=60)
    assert run.process.returncode == (130 if number == signal.SIGINT else 0), errors
    summary = json.loads(report)
    assert summary["interrupted"] is True
    assert "Traceback" not in errors
    for path in (out, playlist):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 5
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.slow
def test_an_interrupted_run_whose_peer_is_lost_has_its_summary(start: Any) -> None:
    run = start(PATTERN, "--to", f"rtsp://127.0.0.1:{free_port()}/cam", "--json")
    assert any("; retrying" in line for line in run.process.stderr)
    run.process.send_signal(signal.SIGINT)
    report, errors = run.process.communicate(timeout=60)
    assert run.process.returncode == 130, errors
    (output,) = json.loads(report)["outputs"]
    assert "127.0.0.1" in output["last_error"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_run_leaves_no_process(start: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run = start(PATTERN, "--to", out)
    run.wait_until(lambda: out.exists() and out.stat().st_size > 20_000)
    children = run.children()
    assert children
    run.process.kill()
    run.process.communicate()
    deadline = time.monotonic() + 30
    while any(_alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 5


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_stream_on_standard_output(start: Any) -> None:
    run = start(PATTERN, "--to", "-", "--duration", "4", text=False)
    with av.open(run.process.stdout) as container:
        assert container.format.name == "mpegts"
        count = sum(1 for _ in container.decode(video=0))
    assert run.process.wait(30) == 0
    assert count > 20


@pytest.mark.slow
def test_a_camera_that_is_killed_frozen_and_comes_back_with_another_size(start: Any, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with RtspServer() as server, log.open("w") as errors:
        server.start((160, 96))
        run = start(server.url, "--http", port, "--timeout", 2, "--json", stderr=errors)

        def camera() -> dict[str, Any]:
            import urllib.request

            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/cameras/cam1", timeout=5) as answer:
                    return dict(json.load(answer))
            except OSError:
                return {}

        run.wait_until(lambda: camera().get("frames_explained", 0) > 5)
        server.kill()
        run.wait_until(lambda: camera().get("state") == "lost")
        server.start((320, 240))
        run.wait_until(lambda: camera().get("state") == "live" and camera()["width"] == 320)
        explained = camera()["frames_explained"]
        run.wait_until(lambda: camera().get("frames_explained", 0) > explained + 5)
        server.freeze()
        run.wait_until(lambda: camera().get("state") == "lost")
        server.unfreeze()
        run.wait_until(lambda: camera().get("state") == "live")
        assert camera()["reconnects"] == 2
        run.process.send_signal(signal.SIGINT)
        report, _ = run.process.communicate(timeout=60)
    assert json.loads(report)["reconnects"] == 2
    assert "Traceback" not in log.read_text()
    assert os.fspath(tmp_path) not in log.read_text()
