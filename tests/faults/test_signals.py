"""Twelve signals: the exit code is true, and so is the object of ``--json``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .harness import NUM_FRAMES, FaultyRun, num_playable

pytestmark = pytest.mark.slow

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
CASES = [(number, place) for number in CODES for place in ("load", "1", "70", "copy")]


@pytest.mark.parametrize(("number", "place"), CASES)
def test_a_signal(fault_clip: Path, tmp_path: Path, number: signal.Signals, place: str) -> None:
    out = tmp_path / "out.mp4"
    with FaultyRun(fault_clip, out, tmp_path / "fault", place) as run:
        run.wait()
        run.process.send_signal(number)
        run.go_on()
        code, report, errors = run.finish()
    assert code == CODES[number], errors
    assert report["interrupted"]
    assert report.get("frames_out", 0) == num_playable(out) <= NUM_FRAMES
    if place == "load":
        assert "no frame was written" in errors.splitlines()[-1]
        assert not out.exists()
    elif place == "copy":
        assert report["frames_out"] == NUM_FRAMES
    else:
        assert int(place) <= report["frames_out"]
        assert "interrupted" in errors.splitlines()[-1]
    assert not list(tmp_path.glob(".streamcam*"))


@pytest.mark.parametrize("number", CODES)
def test_a_batch_ends_with_the_input_in_work(fault_clip: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "batch"
    out.mkdir()
    core = min(os.sched_getaffinity(0))  # on more cores, the second input would be in work, too
    with FaultyRun(
        fault_clip, out, tmp_path / "fault", "70", preexec_fn=lambda: os.sched_setaffinity(0, {core})
    ) as run:
        run.wait()
        run.process.send_signal(number)
        run.go_on()
        code, report, errors = run.finish()
    assert code == CODES[number], errors
    (done,) = report["results"]
    assert report["interrupted"]
    assert done["interrupted"]
    assert 0 < done["frames_out"] == num_playable(out / "clip.gradcam.mp4") < NUM_FRAMES
    assert [path.name for path in out.iterdir()] == ["clip.gradcam.mp4"]
