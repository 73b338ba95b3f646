"""``kill -9`` at twelve places: nothing is lost beyond the last fragment, and the next run can begin."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from streamcam.sinks.paths import check_output_path
from tests.media_helpers import box_types
from tests.waiting import wait_until

from .harness import FRAGMENT_FRAMES, NUM_FRAMES, FaultyRun, num_playable

pytestmark = pytest.mark.slow

PLACES = [(suffix, frames) for suffix in (".mp4", ".mov", ".mkv") for frames in (1, 100, 150)]
DELAYED_FRAMES = 50
"""Frames that x264 may hold back with many cores."""


@pytest.mark.parametrize(("suffix", "frames"), PLACES)
def test_in_the_middle(fault_clip: Path, tmp_path: Path, suffix: str, frames: int) -> None:
    out = tmp_path / f"out{suffix}"
    with FaultyRun(fault_clip, out, tmp_path / "fault", frames) as run:
        run.wait()
        run.process.kill()
        assert run.finish()[0] == -signal.SIGKILL
    assert num_playable(out) >= frames - DELAYED_FRAMES - FRAGMENT_FRAMES
    check_output_path(out, overwrite=True)  # no lock is left
    assert not list(tmp_path.glob(".streamcam*"))


@pytest.mark.parametrize("place", ["load", "copy"])
def test_at_the_beginning_and_the_end(fault_clip: Path, tmp_path: Path, place: str) -> None:
    out = tmp_path / "out.mp4"
    with FaultyRun(fault_clip, out, tmp_path / "fault", place) as run:
        run.wait()
        run.process.kill()
        assert run.finish()[0] == -signal.SIGKILL
    assert num_playable(out) == (NUM_FRAMES if place == "copy" else 0)
    assert out.exists() == (place == "copy")


def test_of_the_parent_of_a_batch_completes_the_file_in_work(fault_clip: Path, tmp_path: Path) -> None:
    """The process that works notices, and ends in order."""
    out = tmp_path / "batch"
    out.mkdir()
    with FaultyRun(fault_clip, out, tmp_path / "fault", 70) as run:
        run.wait()
        run.process.kill()
        run.process.wait()
        run.go_on()
        # Completed: an ordinary file, without fragments.
        wait_until(lambda: "moof" not in box_types(out / "clip.gradcam.mp4"), 100)
    assert num_playable(out / "clip.gradcam.mp4") > 50
    assert not (out / "second.gradcam.mp4").exists()
