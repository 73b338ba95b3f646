"""Runs of the command that meet a fault, and what must hold after it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import av.error

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
NUM_FRAMES = 160
FRAGMENT_FRAMES = 20
MODEL = ["--preprocess", "none", "--precision", "float32", "--batch", "4"]


class FaultyRun:
    """``streamcam process`` that waits at ``place`` for its fault."""

    def __init__(self, clip: Path, out: Path, folder: Path, place: object, *options: str, **more: Any) -> None:
        self.out, self._folder = out, folder
        folder.mkdir(exist_ok=True)
        environment = {"FAULT_PLACE": str(place), "FAULT_FOLDER": str(folder), **more.pop("env", {})}
        inputs = [str(clip)] if out.suffix else [str(clip), str(clip.with_name("second.mp4"))]
        model = ["--model", "tests.faults.hooks:waiting_model", *MODEL]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamcam", "process", *inputs, "-o", str(out), "--json", *model, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            **more,
        )

    def __enter__(self) -> FaultyRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self.process.kill()
        self.process.communicate()

    def wait(self) -> None:
        """Until the run is at its place."""
        reached = self._folder / "reached"
        wait_until(lambda: reached.exists() or self.process.poll() is not None, 100)
        assert reached.exists(), self.process.communicate()

    def go_on(self) -> None:
        (self._folder / "go_on").touch()

    def finish(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, the object of ``--json``, and stderr."""
        out, errors = self.process.communicate(timeout=120)
        assert "Traceback" not in errors
        assert "internal error" not in errors
        return self.process.returncode, json.loads(out) if out else {}, errors


def num_playable(path: Path) -> int:
    """Frames that a decoder gets out of a file; 0 for none, or no file."""
    if not path.exists():
        return 0
    try:
        with av.open(str(path)) as container:
            pts = [frame.pts for frame in container.decode(video=0)]
    except av.error.FFmpegError:
        return 0
    assert pts == sorted(set(pts))
    return len(pts)


def check_truth(code: int, report: dict[str, Any], errors: str, out: Path) -> None:
    """What the run claims is what is on the disk."""
    found = num_playable(out)
    if code == 0:
        assert report["frames_out"] == found == NUM_FRAMES, errors
        return
    assert code == 1, errors
    (line,) = (line for line in errors.splitlines() if line.startswith("streamcam: "))
    assert report["error"] == line.removeprefix("streamcam: ")
    claimed = re.search(r"first (\d+) frames are kept", line)
    if claimed:
        assert int(claimed[1]) == found
    elif "one frame is kept" in line:
        assert found == 1
    elif "no frame is kept" in line:
        assert not out.exists()
