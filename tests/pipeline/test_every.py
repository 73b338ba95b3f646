"""Frames that are not explained: how many, which, and what is drawn on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam import prepare
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.frames import ExplainedFrame
from streamcam.job import Job
from streamcam.notes import collect_notes
from streamcam.pipeline import RunCallbacks, run
from streamcam.summary import Summary
from streamcam.temporal.change_detection import MAX_HOLD_FRAMES

from . import clips

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 128, 96
SMALL = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "target": "1", "precision": "float32"}
CUT, COUNT = 21, 40


def scene(seed: int) -> Any:
    squares = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 16, WIDTH // 16, 1), np.uint8)
    return np.kron(squares, np.ones((16, 16, 3), np.uint8))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still scene, a cut, and another still scene."""
    frames = [scene(1 if n < CUT else 2) for n in range(COUNT)]
    return clips.write_clip(tmp_path_factory.mktemp("every") / "clip.mp4", frames)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that grows brighter by 2 of 255 a frame."""
    frames = [np.full((HEIGHT, WIDTH, 3), 80 + 2 * n, np.uint8) for n in range(41)]
    return clips.write_clip(tmp_path_factory.mktemp("every") / "moving.mp4", frames)


@cache
def small_explainer() -> FrameExplainer:
    """One compiled model for all runs: their options differ in time only."""
    job = Job.from_options("any.mp4", "any.mp4", **SMALL)
    return load_explainer(job.model, job.explain)


@pytest.mark.parametrize("every", [1, 2])
def test_frames_that_a_gif_omits_are_not_counted(tmp_path: Path, every: int) -> None:
    clip = clips.write_clip(tmp_path / "fast.mp4", [scene(1)] * 20, rate=100)
    job = Job.from_options(str(clip), str(tmp_path / "o.gif"), every=every, **SMALL)
    summary = run(job, explainer=small_explainer())
    assert (summary.frames_in, summary.frames_out) == (20, 10)
    # The GIF holds every second frame: those that are explained.
    assert (summary.frames_explained, summary.frames_held) == (10, 0)


def process_clip(clip: Path, out: Path, **options: Any) -> tuple[Summary, list[ExplainedFrame]]:
    items: list[ExplainedFrame] = []
    job = Job.from_options(str(clip), str(out), overwrite=True, **SMALL, **options)
    summary = run(job, explainer=small_explainer(), callbacks=RunCallbacks(on_frame=items.append))
    assert summary.frames_explained + summary.frames_held == summary.frames_out == len(items)
    assert [item.held for item in items].count(True) == summary.frames_held
    return summary, items


def explained_frames(items: list[ExplainedFrame]) -> list[int]:
    return [item.frame.index for item in items if not item.held]


def maps(items: list[ExplainedFrame]) -> Any:
    return np.stack([item.attributions[0].heatmap for item in items])


@pytest.mark.parametrize("interpolation", ["hold", "linear", "flow"])
def test_auto_explains_what_changes(clip: Path, tmp_path: Path, interpolation: str) -> None:
    _, dense = process_clip(clip, tmp_path / "dense.mp4", every=1)
    summary, items = process_clip(clip, tmp_path / "out.mp4", every="auto", interpolation=interpolation)
    assert explained_frames(items) == [0, MAX_HOLD_FRAMES, CUT, CUT + MAX_HOLD_FRAMES]
    assert summary.as_dict()["frames_held"] == COUNT - 4
    assert [item.frame.index for item in items] == list(range(COUNT))
    np.testing.assert_allclose(maps(items), maps(dense), atol=0.02)


def test_every_frame_is_explained_by_default(clip: Path, tmp_path: Path) -> None:
    summary, items = process_clip(clip, tmp_path / "out.mp4")
    assert (summary.frames_explained, summary.frames_held) == (COUNT, 0)
    assert explained_frames(items) == list(range(COUNT))


def test_a_bound_of_nothing_is_every_frame_that_differs(moving: Path, tmp_path: Path) -> None:
    _, dense = process_clip(moving, tmp_path / "dense.mp4")
    _, items = process_clip(moving, tmp_path / "out.mp4", every="auto", change_threshold=0)
    assert explained_frames(items) == explained_frames(dense)
    np.testing.assert_allclose(maps(items), maps(dense), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["linear", "flow"])
@pytest.mark.parametrize("every", [4, 10, 20])
def test_mixed_maps_are_those_of_every_frame_where_evidence_is_linear(
    moving: Path, tmp_path: Path, interpolation: str, every: int
) -> None:
    """Brightness rises evenly, so each map is the mix of any two around it; `hold` is a step behind."""
    _, dense = process_clip(moving, tmp_path / "dense.mp4")
    _, items = process_clip(moving, tmp_path / "out.mp4", every=every, interpolation=interpolation)
    assert explained_frames(items) == list(range(0, 41, every))
    if every <= MAX_HOLD_FRAMES:  # of more frames, some do not wait for the next
        np.testing.assert_allclose(maps(items), maps(dense), atol=0.01)
    _, held = process_clip(moving, tmp_path / "held.mp4", every=every)
    error, worst = (np.abs(maps(some) - maps(dense)).max() for some in (items, held))
    assert error < worst
    scores = [item.attributions[0].score for item in items]
    assert (np.diff(scores) > -1e-3).all()


def test_the_end_has_nothing_to_wait_for(moving: Path, tmp_path: Path) -> None:
    _, items = process_clip(moving, tmp_path / "out.mp4", every=30, interpolation="linear")
    assert explained_frames(items) == [0, 30]
    for item in items[31:]:
        np.testing.assert_array_equal(item.attributions[0].heatmap, items[30].attributions[0].heatmap)


def test_a_still_image(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "samples" / "coffee.png"
    summary, _ = process_clip(sample, tmp_path / "out.png", every="auto", interpolation="flow")
    assert (summary.frames_explained, summary.frames_held) == (1, 0)


def test_a_live_source_holds_and_says_so(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Callable[..., Any] = prepare.open_source

    def live(options: Any, **how: Any) -> Any:
        source = opened(options, **how)
        source.info = dataclasses.replace(source.info, live=True)
        return source

    monkeypatch.setattr(prepare, "open_source", live)
    notes: list[str] = []
    job = Job.from_options(str(clip), str(tmp_path / "out.mp4"), **SMALL, every=4, interpolation="flow")
    with collect_notes(notes.append):
        summary = run(job)
    assert [note for note in notes if "live" in note] == [note for note in summary.notes if "live" in note]
    assert sum("cannot wait" in note for note in notes) == 1
