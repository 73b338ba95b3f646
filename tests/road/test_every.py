"""Frames that are not explained: how many, which, and what is drawn on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam import pipeline
from streamcam.config import make_job
from streamcam.frames import Explained
from streamcam.pipeline import Summary, Watcher, run
from streamcam.temporal.change import LONGEST

from . import clips

WIDTH, HEIGHT = 128, 96
SMALL = {"model": "tests.road.models:brightness", "preprocess": "none", "target": "1", "precision": "float32"}
CUT, COUNT = 21, 40


def scene(seed: int) -> Any:
    squares = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 16, WIDTH // 16, 1), np.uint8)
    return np.kron(squares, np.ones((16, 16, 3), np.uint8))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still scene, a cut, and another still scene."""
    pictures = [scene(1 if n < CUT else 2) for n in range(COUNT)]
    return clips.write(tmp_path_factory.mktemp("every") / "clip.mp4", pictures)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that grows brighter by 2 of 255 a frame."""
    pictures = [np.full((HEIGHT, WIDTH, 3), 80 + 2 * n, np.uint8) for n in range(41)]
    return clips.write(tmp_path_factory.mktemp("every") / "moving.mp4", pictures)


def processed(clip: Path, out: Path, **options: Any) -> tuple[Summary, list[Explained]]:
    items: list[Explained] = []
    job = make_job(str(clip), str(out), overwrite=True, **SMALL, **options)
    summary = run(job, watcher=Watcher(frame=items.append))
    assert summary.frames_explained + summary.frames_held == summary.frames_out == len(items)
    assert [item.held for item in items].count(True) == summary.frames_held
    return summary, items


def explained(items: list[Explained]) -> list[int]:
    return [item.frame.index for item in items if not item.held]


def maps(items: list[Explained]) -> Any:
    return np.stack([item.evidence[0].heatmap for item in items])


@pytest.mark.parametrize("between", ["hold", "linear", "flow"])
def test_auto_explains_what_changes(clip: Path, tmp_path: Path, between: str) -> None:
    _, dense = processed(clip, tmp_path / "dense.mp4", every=1)
    summary, items = processed(clip, tmp_path / "out.mp4", every="auto", between=between)
    assert explained(items) == [0, LONGEST, CUT, CUT + LONGEST]
    assert summary.as_dict()["frames_held"] == COUNT - 4
    assert [item.frame.index for item in items] == list(range(COUNT))
    np.testing.assert_allclose(maps(items), maps(dense), atol=0.02)


def test_every_frame_is_explained_by_default(clip: Path, tmp_path: Path) -> None:
    summary, items = processed(clip, tmp_path / "out.mp4")
    assert (summary.frames_explained, summary.frames_held) == (COUNT, 0)
    assert explained(items) == list(range(COUNT))


def test_a_bound_of_nothing_is_every_frame_that_differs(moving: Path, tmp_path: Path) -> None:
    _, dense = processed(moving, tmp_path / "dense.mp4")
    _, items = processed(moving, tmp_path / "out.mp4", every="auto", change=0)
    assert explained(items) == explained(dense)
    np.testing.assert_allclose(maps(items), maps(dense), atol=1e-6)


@pytest.mark.parametrize("between", ["linear", "flow"])
@pytest.mark.parametrize("every", [4, 10, 20])
def test_mixed_maps_are_those_of_every_frame_where_evidence_is_linear(
    moving: Path, tmp_path: Path, between: str, every: int
) -> None:
    """Brightness rises evenly, so each map is the mix of any two around it; `hold` is a step behind."""
    _, dense = processed(moving, tmp_path / "dense.mp4")
    _, items = processed(moving, tmp_path / "out.mp4", every=every, between=between)
    assert explained(items) == list(range(0, 41, every))
    if every <= LONGEST:  # of more frames, some do not wait for the next
        np.testing.assert_allclose(maps(items), maps(dense), atol=0.01)
    _, held = processed(moving, tmp_path / "held.mp4", every=every)
    error, worst = (np.abs(maps(some) - maps(dense)).max() for some in (items, held))
    assert error < worst
    scores = [item.evidence[0].score for item in items]
    assert (np.diff(scores) > -1e-3).all()


def test_the_end_has_nothing_to_wait_for(moving: Path, tmp_path: Path) -> None:
    _, items = processed(moving, tmp_path / "out.mp4", every=30, between="linear")
    assert explained(items) == [0, 30]
    for item in items[31:]:
        np.testing.assert_array_equal(item.evidence[0].heatmap, items[30].evidence[0].heatmap)


def test_a_still_image(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "samples" / "coffee.png"
    summary, _ = processed(sample, tmp_path / "out.png", every="auto", between="flow")
    assert (summary.frames_explained, summary.frames_held) == (1, 0)


def test_a_live_source_holds_and_says_so(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Callable[..., Any] = pipeline.open_source

    def live(options: Any, **how: Any) -> Any:
        source = opened(options, **how)
        source.info = dataclasses.replace(source.info, live=True)
        return source

    monkeypatch.setattr(pipeline, "open_source", live)
    notes: list[str] = []
    job = make_job(str(clip), str(tmp_path / "out.mp4"), **SMALL, every=4, between="flow")
    summary = run(job, watcher=Watcher(note=notes.append))
    assert [note for note in notes if "live" in note] == [note for note in summary.notes if "live" in note]
    assert sum("cannot wait" in note for note in notes) == 1
