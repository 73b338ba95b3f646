"""Runs that end early: interrupted, killed. In processes of their own."""

from __future__ import annotations

import _thread
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest

from streamcam.cli.errors import handle_errors, to_streamcam_error
from streamcam.job import Job
from streamcam.pipeline import Interrupted
from streamcam.pipeline import run as run_job
from streamcam.sinks.video import VideoSink
from tests.pipeline import clips

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FRAMES = 6000
SMALL = ["--model", "tests.pipeline.models:brightness", "--preprocess", "none"]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes: no run is through with it before it is interrupted."""
    return clips.write_long_clip(tmp_path_factory.mktemp("endings") / "clip.mp4", FRAMES)


class Run:
    """``streamcam process`` in a process of its own."""

    def __init__(self, clip: Path, out: Path, **more: Any) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamcam", "process", str(clip), "-o", str(out), "--json", "--batch", "4", *SMALL],
            cwd=ROOT,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )

    def wait_for(self, size: int) -> None:
        """Until the output has so many bytes: fragments have been closed by then."""
        beat = threading.Event()
        for _ in range(600):
            if self.out.exists() and self.out.stat().st_size >= size:
                assert self.process.poll() is None
                return
            assert self.process.poll() is None, self.process.communicate()
            beat.wait(0.1)
        raise AssertionError("no output in a minute")

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def _own_terminal() -> None:
    """Makes standard input this process's terminal, whose end it hears of."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(terminal: int, hung_up: threading.Event) -> None:
    """Read what arrives at ``terminal`` and drop it."""
    while not hung_up.is_set():
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                return


@pytest.fixture
def run(tmp_path: Path, long_clip: Path) -> Iterator[Run]:
    run = Run(long_clip, tmp_path / "out.mp4")
    yield run
    run.process.kill()
    run.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_a_playable_file(run: Run, number: signal.Signals) -> None:
    run.wait_for(300_000)
    run.process.send_signal(number)
    code, out, err = run.finish()
    assert code == (130 if number == signal.SIGINT else 143), err
    assert "Traceback" not in err
    report = json.loads(out)
    assert report["interrupted"]
    frames = clips.read_rgb(run.out)
    assert FRAMES > len(frames) == report["frames_out"] > 10
    data = run.out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert sorted(path.name for path in run.out.parent.iterdir()) == ["out.mp4"]


def test_a_run_whose_terminal_is_gone_leaves_a_playable_file(long_clip: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    out = tmp_path / "out.mp4"
    run = Run(long_clip, out, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_own_terminal)
    os.close(theirs)
    # A terminal that nobody reads is full after 4 KiB, and its writer waits: TensorFlow alone may write more.
    hung_up = threading.Event()
    reader = threading.Thread(target=_read_until, args=(ours, hung_up))
    reader.start()
    try:
        run.wait_for(300_000)
        hung_up.set()
        reader.join()
        os.close(ours)
        assert run.process.wait(60) not in (0, -signal.SIGHUP)
    finally:
        hung_up.set()
        run.process.kill()
        run.process.wait()
    assert FRAMES > len(clips.read_rgb(out)) > 10
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("ignored", [True, False])
def test_a_hangup_that_nohup_has_ignored_stays_so(ignored: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        during = handle_errors(lambda: signal.getsignal(signal.SIGHUP))()
        after = signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert after == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    assert (during == after) == ignored


def test_an_ffmpeg_error_is_not_reported_as_standard_output() -> None:
    assert "standard output: full" in str(to_streamcam_error(OSError(28, "full")))
    assert "internal error: OSError" in str(to_streamcam_error(av.error.OSError(95, "not supported")))


def test_an_interrupt_between_a_frame_and_its_count_changes_neither(
    long_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = VideoSink._write

    def write_and_interrupt(self: VideoSink, *arguments: Any) -> bool:
        is_written = write(self, *arguments)
        if self.num_frames == 20:
            _thread.interrupt_main()
        return is_written

    monkeypatch.setattr(VideoSink, "_write", write_and_interrupt)
    out = tmp_path / "out.mp4"
    with pytest.raises(Interrupted) as stop:
        run_job(Job.from_options(str(long_clip), str(out), model=SMALL[1], preprocess="none", precision="float32"))
    report = stop.value.summary
    assert len(clips.read_rgb(out)) == report.frames_out == report.frames_explained > 20


def test_a_killed_run_leaves_its_closed_fragments_playable(run: Run) -> None:
    run.wait_for(300_000)
    run.process.kill()
    code, _, _ = run.finish()
    assert code == -signal.SIGKILL
    with av.open(str(run.out)) as container:
        pts = [frame.pts for frame in container.decode(video=0)]
    assert len(pts) > 10
    assert np.ptp(np.diff(pts)) == 0
