"""Helpers of the tests of live outputs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from streamcam.concurrency.group import StageGroup
from streamcam.notes import collect_notes
from streamcam.options import OutputOptions
from streamcam.sinks.push.output import PushOutput
from tests.media_helpers import gradient_frame, planes

ROOT = Path(__file__).parents[2]
TICKS_PER_SECOND = 90_000
TICKS_PER_FRAME = TICKS_PER_SECOND // 25

MOVING_FRAMES = [gradient_frame(160, 96, index) for index in range(10)]


def solid_frame(width: int, height: int, *codes: int, pixel_format: str = "yuv420p") -> VideoFrame:
    """A frame of one color, given as Y, Cb, Cr."""
    frame = VideoFrame(width, height, pixel_format)
    for plane, code in zip(planes(frame), codes, strict=True):
        plane[:] = code
    return frame


def worker_pids(parent: int | None = None) -> list[int]:
    """Worker processes of a process, this one by default."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if b"streamcam.sinks.push" in (entry / "cmdline").read_bytes() and ppid == (parent or os.getpid()):
                found.append(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def push_frames(output: PushOutput, frames: int, start: int = 0) -> None:
    """Offers so many of `MOVING_FRAMES`, over and over, 25 a second of their own time."""
    for index in range(start, start + frames):
        output.submit(MOVING_FRAMES[index % len(MOVING_FRAMES)], 12_345 + index * TICKS_PER_FRAME)


@contextlib.contextmanager
def run_output(url: Any, log: Callable[[str], object] = lambda line: None, **options: Any) -> Iterator[PushOutput]:
    """A running output that waits for queue space; `StageGroup` closes it."""
    live, make_filler = options.pop("live", False), options.pop("make_filler", None)
    output = PushOutput(OutputOptions(url=str(url), **options), live=live, make_filler=make_filler)
    with (
        collect_notes(log),
        StageGroup(shutdown_timeout_seconds=output.shutdown_timeout_seconds + 5) as flow,
    ):
        flow.spawn(output.run, stop=output.close)
        yield output
    assert flow.abandoned_threads == ()
    assert output.state == "ended"
    assert worker_pids() == []


@contextlib.contextmanager
def push_in_thread(output: PushOutput, *frames: VideoFrame, start: int = 0) -> Iterator[list[float]]:
    """Submit frames at 25 fps while the block runs; the list holds the longest call so far."""
    over = threading.Event()
    longest = [0.0]

    def run() -> None:
        index = 0
        while not over.wait(0.04):
            before = time.perf_counter()
            output.submit(frames[index % len(frames)], start + index * TICKS_PER_FRAME)
            longest[0] = max(longest[0], time.perf_counter() - before)
            index += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield longest
    finally:
        over.set()
        thread.join()


class Listener:
    """A peer in a subprocess; `lines` is what it saw."""

    def __init__(self, url: str) -> None:
        self.lines: list[tuple[int, ...]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sinks.listener", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(tuple(map(int, line.split())))

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_pusher(*arguments: object, **popen: Any) -> subprocess.Popen[bytes]:
    """`tests.sinks.pusher` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sinks.pusher", *map(str, arguments)], stderr=subprocess.PIPE, cwd=ROOT, **popen
    )
