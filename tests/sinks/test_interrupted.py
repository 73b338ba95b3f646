"""Processes that end in the middle: by Ctrl-C, by ``kill -9``, by a disk that is full."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media_helpers import box_types, frame_times, gradient_frame, write_clip

from .killed_writer import CHUNK_FRAMES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Writer:
    """A subprocess that writes a frame on each request."""

    def __init__(
        self,
        source: Path,
        target: Path,
        codec: str = "",
        before: Callable[[], None] | None = None,
        encoders: int = 1,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sinks.killed_writer", source, target, codec, str(encoders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            preexec_fn=before,
        )

    def write(self, frames: int) -> None:
        """Returns when ``frames`` more frames were handed to the sink, or the process has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for _ in range(frames):
            if not self.process.stdout.readline():
                return
            try:
                self.process.stdin.write("\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                return

    def stop(self, number: int) -> tuple[int, str]:
        """Sends a signal while the sink waits between two frames; exit code and stderr."""
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small_clip") / "in.mp4"
    return write_clip(path, [gradient_frame(96, 64, i) for i in range(25)])


@pytest.mark.parametrize(
    ("suffix", "encoders"), [(".mp4", 1), (".mov", 1), (".mkv", 1), (".webm", 1), (".mp4", 3), (".mkv", 3)]
)
def test_interrupt_leaves_every_frame_playable(small_clip: Path, tmp_path: Path, suffix: str, encoders: int) -> None:
    target = tmp_path / f"o{suffix}"
    writer = Writer(small_clip, target, encoders=encoders)
    writer.write(99)
    code, errors = writer.stop(signal.SIGINT)
    assert (code, errors) == (130, "")
    assert len(frame_times(target)) == 100
    if suffix in (".mp4", ".mov"):
        assert box_types(target).index("moov") < box_types(target).index("mdat")
    assert [entry.name for entry in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9"), (".mp4", "hevc"), (".mp4", "av1")],
)
def test_kill_leaves_all_closed_fragments_playable(small_clip: Path, tmp_path: Path, suffix: str, codec: str) -> None:
    target = tmp_path / f"o{suffix}"
    writer = Writer(small_clip, target, codec)
    writer.write(299)
    assert writer.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    times = frame_times(target)
    # Twelve seconds went in; the encoder's lookahead and two fragments of two seconds may be lost.
    assert len(times) >= 300 - 2 * 50 - {"h264": 50, "vp9": 50, "hevc": 60, "av1": 100}[codec]
    assert (
        times == [index / 25 for index in range(len(times))]
        or max(abs(float(time) - index / 25) for index, time in enumerate(times)) <= 0.001
    )


def test_kill_leaves_all_joined_segments_playable(small_clip: Path, tmp_path: Path) -> None:
    writer = Writer(small_clip, tmp_path / "o.mp4", encoders=3)
    writer.write(299)
    assert writer.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    times = frame_times(tmp_path / "o.mp4")
    # Besides two fragments, the segments of three encoders may be lost, and one that begins.
    assert len(times) >= 300 - 2 * 50 - 4 * CHUNK_FRAMES
    assert times == [Fraction(index, 25) for index in range(len(times))]


def test_file_that_may_not_grow_further_is_one_line_and_what_was_written_plays(
    small_clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / "o.mp4"

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    writer = Writer(small_clip, target, before=limit_file_size)
    writer.write(5000)
    _, errors = writer.process.communicate(timeout=60)
    assert writer.process.returncode == 1
    num_frames = len(frame_times(target))
    assert num_frames >= 50
    kept = f"its first {num_frames} frames are kept"
    assert errors == f"SinkError: no space left for {target}; {kept}; free some space\n"


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={getattr(request, 'param', '64k')}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("a small_clip file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(("suffix", "encoders"), [(".mp4", 1), (".mkv", 1), (".mp4", 3)])
def test_full_disk_is_one_line_and_what_was_written_plays(
    small_clip: Path, tiny_disk: Path, suffix: str, encoders: int
) -> None:
    target = tiny_disk / f"o{suffix}"
    writer = Writer(small_clip, target, encoders=encoders)
    writer.write(5000)
    _, errors = writer.process.communicate(timeout=60)
    assert writer.process.returncode == 1
    num_frames = len(frame_times(target))
    assert num_frames >= 50
    kept = f"its first {num_frames} frames are kept"
    assert errors == f"SinkError: no space left for {target}; {kept}; free some space\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("tiny_disk", ["4k"], indirect=True)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_disk_too_small_for_a_fragment_is_told_and_leaves_no_file(
    small_clip: Path, tiny_disk: Path, suffix: str
) -> None:
    target = tiny_disk / f"o{suffix}"
    writer = Writer(small_clip, target)
    writer.write(5000)
    _, errors = writer.process.communicate(timeout=60)
    assert writer.process.returncode == 1
    left = len(frame_times(target)) if target.exists() else 0
    kept = f"its first {left} frames are kept" if left > 1 else "one frame is kept" if left else "no frame is kept"
    assert errors == f"SinkError: no space left for {target}; {kept}; free some space\n"
    assert left or list(tiny_disk.iterdir()) == []
