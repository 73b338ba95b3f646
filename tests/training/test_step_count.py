"""Steps over several calls of fit, also from checkpoints and on other models."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from streamcam.errors import OptionError
from streamcam.training import ExplainCallback
from streamcam.training.folder_log import read_folder_log
from streamcam.training.loggers.base import Progress
from streamcam.training.step_count import StepCount

from . import runs
from .runs import KeepingLogger


def fit(model: Any, callback: Any, epochs: int = 1, **options: Any) -> Any:
    x, y = runs.data()
    return model.fit(x[:12], y[:12], batch_size=4, epochs=epochs, callbacks=[callback], verbose=0, **options)


def explain(*loggers: Any, **options: Any) -> ExplainCallback:
    x, y = runs.data()
    return ExplainCallback((x, y), loggers=list(loggers), methods="activations", max_images=2, images="grid", **options)


def test_batches_go_on_from_the_log_after_compiling_again(tmp_path: Path) -> None:
    folder = f"folder:{tmp_path}"
    model = runs.sequential()
    fit(model, explain(folder, every=2), epochs=2)
    runs.compiled(model)
    kept = KeepingLogger()
    fit(model, explain(folder, kept, every=2), epochs=3, initial_epoch=2)
    log = read_folder_log(tmp_path)
    assert [one.step for one in log.explanations] == [0, 2, 4, 6, 8, 9]
    assert [round(one.epoch * 3) for one in log.explanations] == [0, 2, 4, 6, 8, 9]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "maps"] == [0, 2, 4, 6, 8, 9]  # no step twice
    assert kept.steps("activations/area") == [6, 8, 9]
    assert kept.steps("activations/drift") == [8, 9]


def test_an_older_checkpoint_replaces_the_end_of_the_log(tmp_path: Path) -> None:
    folder = f"folder:{tmp_path}"
    fit(runs.sequential(), explain(folder), epochs=3)
    fit(runs.sequential(), explain(folder), epochs=3, initial_epoch=1)
    log = read_folder_log(tmp_path)
    assert [(one.step, one.epoch) for one in log.explanations] == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [(line["event"], line["step"]) for line in lines if line["event"] in ("maps", "resume")]
    assert steps[-3:] == [("resume", 1), ("maps", 2), ("maps", 3)]


def test_a_refused_folder_stays_as_it_is(tmp_path: Path) -> None:
    callback = explain(f"folder:{tmp_path}", labels=["a", "b", "c"])
    fit(runs.sequential(), callback)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for again in (explain(f"folder:{tmp_path}", labels=["x", "y", "z"]), callback):
        with pytest.raises(OptionError, match="holds the log of another training"):
            fit(runs.sequential(), again)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_new_model_begins_anew_and_the_same_goes_on() -> None:
    kept = KeepingLogger()
    calls: list[tuple[str, int]] = []
    kept.log_scalar = lambda key, value, step: calls.append((key, step))  # type: ignore[method-assign]
    callback = explain(kept)
    model = runs.sequential()
    fit(model, callback)
    fit(model, callback)
    fit(runs.sequential(), callback)
    assert [step for key, step in calls if key == "activations/area"] == [0, 1, 2, 0, 1]
    assert [step for key, step in calls if key == "activations/drift"] == [1, 2, 1]


def test_an_unknown_number_of_batches_is_learned() -> None:
    count = StepCount(2)
    count.open_fit(None)
    count.begin(0, 0, Progress(), is_same_model=False)
    count.begin_epoch()
    assert [count.end_batch(batch) for batch in range(4)] == [False, True, False, True]
    count.end_epoch(0)
    count.begin_epoch()
    assert count.position == (4, 1.0)
    count.end_batch(0)
    assert count.position == (5, 1.25)


def test_values_that_are_not_finite_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    callback = explain(KeepingLogger())
    with caplog.at_level(logging.WARNING, "streamcam"):
        for epoch in range(2):
            callback.on_epoch_end(epoch, {"loss": float("nan"), "accuracy": 0.5})
    assert caplog.text.count("loss after epoch 1: not finite") == caplog.text.count("not finite") == 1


def test_targets_keep_their_keys_apart() -> None:
    kept = KeepingLogger()
    callback = explain(kept, labels=["a/b", "a_b", "c"], targets=["a/b", "c", "a_b", "c"])
    model = runs.sequential()
    callback.set_model(model)
    assert callback._explanations.bind(model) is False
    targets, codes = callback._explanations._find_targets()
    assert list(targets) == ["a_b", "c", "a_b_"]
    assert [one[0].label for one in targets.values()] == ["a/b", "c", "a_b"]
    assert codes[0, :, 0].tolist() == [0, 2, 1]
