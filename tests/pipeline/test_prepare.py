"""A job with everything resolved, before its first frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam import prepare as prepare_module
from streamcam.concurrency.group import StageGroup, StageTimer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import SinkError, SourceError
from streamcam.job import Job
from streamcam.pipeline import RunCallbacks, run
from streamcam.prepare import prepare
from streamcam.stages import batched, explain, frame_selector, make_resizer, read_frames, select_and_resize

pytestmark = pytest.mark.slow

SMALL = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "target": "1", "precision": "float32"}


def test_the_resolved_facts_are_those_of_the_summary(clip: Path, tmp_path: Path) -> None:
    job = Job.from_options(str(clip), str(tmp_path / "o.mp4"), **SMALL)
    with prepare(job) as prepared:
        facts = json.loads(json.dumps(prepared.to_dict()))
        assert facts["model_input"] == list(prepared.geometry.input)
    assert not (tmp_path / "o.mp4").exists()
    summary = json.loads(json.dumps(run(job).as_dict()))
    shared = facts.keys() & summary.keys()
    assert {"input", "output", "model", "layer", "method", "precision", "device", "batch", "decoder"} <= shared
    assert {name: facts[name] for name in shared - {"notes"}} == {name: summary[name] for name in shared - {"notes"}}
    assert summary["notes"][: len(facts["notes"])] == facts["notes"]
    assert (facts["size"], facts["num_frames"]) == ([160, 96], 50)


@pytest.mark.parametrize(
    ("source", "output", "error"), [("missing.mp4", "o.mp4", SourceError), ("clip", "taken.mp4", SinkError)]
)
def test_what_fails_cheaply_fails_before_the_model_is_loaded(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(prepare_module, "load_explainer", lambda *_, **__: pytest.fail("the model was loaded"))
    (tmp_path / "taken.mp4").write_bytes(b"something")
    url = str(clip) if source == "clip" else str(tmp_path / source)
    with pytest.raises(error), prepare(Job.from_options(url, str(tmp_path / output), **SMALL)):
        pass


def test_a_slow_source_opens_while_the_model_loads(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source opens only after the model was loaded, which would never end the other way round."""
    import threading

    loaded = threading.Event()
    open_source, load_explainer = prepare_module.open_source, prepare_module.load_explainer

    def open_late(*args: Any, **options: Any) -> Any:
        assert loaded.wait(60)
        return open_source(*args, **options)

    def load(*args: Any, **options: Any) -> Any:
        explainer = load_explainer(*args, **options)
        loaded.set()
        return explainer

    monkeypatch.setattr(prepare_module, "open_source", open_late)
    monkeypatch.setattr(prepare_module, "load_explainer", load)
    with prepare(Job.from_options(str(clip), str(tmp_path / "o.mp4"), **SMALL)) as prepared:
        assert prepared.info.num_frames == 50


def test_stages_compose_without_drawing_and_writing(clip: Path, tmp_path: Path) -> None:
    job = Job.from_options(str(clip), str(tmp_path / "o.mp4"), **SMALL, every=5)
    with prepare(job) as prepared, StageGroup() as group:
        resizer = make_resizer(prepared.info, prepared.geometry, prepared.device)
        frames = select_and_resize(read_frames(prepared.source, prepared.device), resizer, frame_selector(job.temporal))
        batches = batched(frames, prepared.batch, max_length=prepared.max_batch_length)
        items = list(explain(batches, prepared.explainer, prepared.compiled, group, StageTimer()))
    assert [item.frame.index for item in items if not item.held] == list(range(0, 50, 5))
    written: list[Any] = []
    run(job, callbacks=RunCallbacks(on_frame=written.append))
    for one, other in zip(items, written, strict=True):
        np.testing.assert_array_equal(one.attributions[0].heatmap, other.attributions[0].heatmap)


def test_errors_and_metrics_travel_with_the_frame(clip: Path, tmp_path: Path) -> None:
    job = Job.from_options(str(clip), str(tmp_path / "o.mp4"), **SMALL, every=2, method="integrated-gradients", end=0.4)
    items: list[Any] = []
    explainer = FrameExplainer(job.model, job.explain)
    summary = run(job, explainer=explainer, callbacks=RunCallbacks(on_frame=items.append))
    gaps = [item.quality_metrics["completeness gap"][0] for item in items if not item.held]
    assert summary.quality_metrics == {"completeness gap": round(max(gaps), 4)}
    assert not [item for item in items if item.errors or (item.held and item.quality_metrics)]


def test_frames_without_a_metric_do_not_end_the_run(clip: Path, tmp_path: Path) -> None:
    options = {**SMALL, "model": "tests.pipeline.models:not_a_number", "method": "integrated-gradients"}
    job = Job.from_options(str(clip), str(tmp_path / "o.mp4"), **options, params={"steps": 2}, every=2, end=0.2)
    summary = run(job)
    assert summary.quality_metrics == {"completeness gap": 0.0}
    assert summary.frames_out == summary.frames_in > 2
    assert [note for note in summary.notes if note.endswith("no map is drawn")]
