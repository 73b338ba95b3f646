"""``kill -9``, then ``--resume``: real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import streamcam

from .test_resume import CHUNK, check_resumed, clip, expected, record_of, short_chunks

__all__ = ["clip", "expected", "short_chunks"]  # fixtures

KILLED_RUN = f"""
import os, signal, sys
from streamcam import chunks
from streamcam.record import folder
from tests.pipeline.test_resume import process
from pathlib import Path

chunks.CHUNK_FRAMES = {CHUNK}
frame, num_files = int(sys.argv[3]), int(sys.argv[4])
written = []
write = folder.RecordFolder.write

def write_or_die(self, name, data):
    written.extend([name] * (not name.startswith("segment")))
    if len(written) > num_files:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, name, data)

def die(item):
    if item.frame.index == frame:
        os.kill(os.getpid(), signal.SIGKILL)

folder.RecordFolder.write = write_or_die
process(Path(sys.argv[1]), Path(sys.argv[2]), record="auto", on_frame=die)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("frame", "num_files"), [(37, 1000), (1000, 10)], ids=["a frame is written", "a file is"])
def test_kill_9(clip: Path, tmp_path: Path, expected: Path, frame: int, num_files: int) -> None:
    out = tmp_path / "o.mkv"
    command = [sys.executable, "-c", KILLED_RUN, str(clip), str(out), str(frame), str(num_files)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    num_kept = len(streamcam.open_record(record_of(out)))
    assert num_kept == 24 if num_files == 10 else num_kept >= 16  # others may still be on their way to the disk
    check_resumed(clip, out, expected, num_kept)
