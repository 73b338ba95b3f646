"""Maps of zeros are counted, and told once a run with a method that shows more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.engine.explainer import FrameExplainer
from streamcam.frames import Attribution
from streamcam.job import Job
from streamcam.pipeline import run
from streamcam.temporal import ZeroMapCounter, is_zero, zero_map_note
from tests.live.live_runs import PATTERN, run_in_thread
from tests.live.live_runs import job as live_job

MODEL: dict[str, Any] = {"model": "tests.pipeline.models:brightness", "precision": "float32"}
NOTE = "map is zero in {} of {} (all evidence is negative); --method hirescam or layercam shows it"


def attribution(*values: float) -> Attribution:
    return Attribution(np.array([values], np.float32), "a", 0.0)


@pytest.mark.parametrize(
    ("values", "map_kind", "expected"),
    [
        ((0, 0), "heat", True),
        ((-1, 0), "heat", True),  # only positive attribution is drawn
        ((-1, 0.1), "heat", False),
        ((0, 0), "signed", True),
        ((-1, 0), "signed", False),
        ((0, 0), "pixels", True),
        ((0, 1), "pixels", False),
    ],
)
def test_a_map_is_zero_if_nothing_of_it_is_drawn(values: Any, map_kind: Any, expected: bool) -> None:
    assert is_zero(attribution(*values), map_kind) is expected


def test_the_note_names_the_cause_only_for_methods_that_have_it() -> None:
    assert zero_map_note("gradcam", 8, 10) == NOTE.format(8, "10 frames")
    assert zero_map_note("gradcam", 1, 1, "image") == NOTE.format(1, "1 image")
    assert zero_map_note("eigencam", 2, 3) == "map is zero in 2 of 3 frames; another --layer or --target may show more"
    assert zero_map_note("gradcam", 0, 10) == ""


def test_a_run_counts_them_and_tells_once(clip: Path, tmp_path: Path) -> None:
    """Class 0 has evidence against it only; class 1 has evidence for it in every frame."""
    job = Job.from_options(clip, tmp_path / "o.mp4", **MODEL, preprocess="none", target=0, every=2)
    explainer = FrameExplainer(job.model, job.explain)
    summary = run(job, explainer=explainer)
    assert (summary.frames_zero_map, summary.frames_explained) == (25, 25)
    assert summary.notes.count(NOTE.format(25, "25 frames")) == 1
    assert summary.as_dict()["frames_zero_map"] == 25
    job = Job.from_options(clip, tmp_path / "p.mp4", **MODEL, preprocess="none", target=1, every=2)
    summary = run(job, explainer=explainer.with_options(target=("1",)))
    assert summary.frames_zero_map == 0
    assert not any("map is zero" in note for note in summary.notes)


def test_an_explanation_notes_them() -> None:
    explainer = streamcam.Explainer(**MODEL, preprocess=None)
    images = np.full((3, 112, 112, 3), 200, np.uint8)
    assert NOTE.format(2, "3 images") in explainer.explain(images, targets=[0, 1, 0]).notes


def test_an_endless_run_reports_them_once_and_early() -> None:
    found: list[str] = []
    counter = ZeroMapCounter(found.append)
    for value in (0.0, 1.0) * 9:
        assert counter.count([attribution(value)], "heat", "gradcam") is (value == 0)
    assert found == []
    counter.count([], "heat", "gradcam")  # the model failed on this frame
    counter.count([attribution(0.0)], "heat", "gradcam")
    counter.count([attribution(0.0)], "heat", "gradcam")
    counter.close()
    assert found == [NOTE.format(10, "20 frames")]


def test_a_short_run_reports_them_at_its_end_for_its_last_method() -> None:
    found: list[str] = []
    counter = ZeroMapCounter(found.append)
    counter.count([attribution(0.0)], "heat", "eigencam")
    counter.count([attribution(0.0)], "heat", "gradcam")
    counter.close()
    counter.close()
    assert found == [NOTE.format(1, "1 frame")]


def test_frames_from_python_warn_once(clip: Path) -> None:
    with pytest.warns(UserWarning, match=r"map is zero in 10 of 10 frames .*hirescam") as caught:
        assert len(list(streamcam.frames(clip, **MODEL, preprocess="none", target=0))) == 50
    (one,) = [one for one in caught if "map is zero" in str(one.message)]
    assert one.filename == __file__


@pytest.mark.slow
def test_a_live_run_counts_them_and_tells_once() -> None:
    with run_in_thread(live_job(PATTERN, f"b={PATTERN}", explain={"target": ("0",)})) as run:
        status = run.wait_for_explained(12)
        summary = run.stop()
    told = [line for line in run.messages if line.startswith("map is zero in 1")]
    assert len(told) == len([line for line in run.messages if "map is zero" in line]) == 1
    assert told[0] in summary.notes
    for camera, source in zip(status.cameras, summary.sources, strict=True):
        assert 12 <= camera.frames_zero_map <= source["frames_zero_map"]
        assert source["frames_zero_map"] == source["frames_explained"]
    assert summary.as_dict()["frames_zero_map"] == sum(one["frames_zero_map"] for one in summary.sources)
