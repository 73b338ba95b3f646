"""Methods, targets and models through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.methods import METHODS
from tests.engine import models
from tests.pipeline import clips

from .runner import cli, one_line

pytestmark = pytest.mark.slow

FUNCTIONAL = ["--model", "tests.engine.models:functional", "--preprocess", "0..1", "--precision", "float32"]


def first_logit(logits: Any) -> Any:
    """A target: the sum of the first two logits."""
    return logits[:, 0] + logits[:, 1]


def second_logit(logits: Any) -> Any:
    """Not a target: it returns no single number for each image."""
    return logits


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    return clips.write_clip(
        tmp_path_factory.mktemp("methods") / "clip.mp4", [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(3)]
    )


def test_several_targets_are_drawn_in_panels_and_reported(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    expected = ["top", "1 - 0", f"{__name__}:first_logit"]
    result = cli("process", clip, "-o", out, *FUNCTIONAL, *(a for t in expected for a in ("--target", t)), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(one_line(result.stdout))["targets"] == expected
    assert [frame.shape for frame in clips.read_rgb(out)] == [(96, 128, 3)] * 3


@pytest.mark.slow
def test_a_method_reports_the_quality_of_its_maps(clip: Path, tmp_path: Path) -> None:
    method = ["--method", "integrated-gradients", "--param", "steps=4"]
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *FUNCTIONAL, *method, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(one_line(result.stdout))
    assert report["layer"] == "input"
    assert report["quality_metrics"]["completeness gap"] >= 0
    assert "integrated-gradients: completeness gap at most" in result.stderr


@pytest.mark.slow
def test_guided_relus_are_counted_in_a_note(clip: Path, tmp_path: Path) -> None:
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *FUNCTIONAL, "--method", "guided-backprop")
    assert result.exit_code == 0, result.output
    assert "3 ReLUs guided" in result.stderr


def test_a_method_of_the_users_names_the_output_by_its_function(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    monkeypatch.chdir(tmp_path)
    method = "tests.methods.custom_methods:custom_method"
    assert cli("process", clip, *FUNCTIONAL, "--method", method, "-q").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip.custom_method.mp4"]


@pytest.mark.slow
def test_a_second_input_is_fed(clip: Path, tmp_path: Path) -> None:
    model = ["--model", "tests.engine.models:two_inputs", "--preprocess", "0..1"]
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *model, "--extra-input", "numbers=[1, 2, 3, 4]")
    assert result.exit_code == 0, result.output
    result = cli("process", clip, "-o", tmp_path / "another.mp4", *model)
    assert result.exit_code == 1
    assert "--extra-input numbers=VALUE" in one_line(result.stderr)
    result = cli("layers", model[1], "--extra-input", "numbers=1", "--json")
    assert result.exit_code == 0, result.output
    auto = [layer for layer in json.loads(result.stdout)["layers"] if layer["auto"]]
    assert [(layer["path"], layer["grid"], layer["stride"]) for layer in auto] == [("last", [4, 6], [8, 8])]


@pytest.mark.slow
def test_a_saved_model_folder_is_a_model(clip: Path, tmp_path: Path) -> None:
    models.functional().export(tmp_path / "saved", verbose=False)
    result = cli("process", clip, "-o", tmp_path / "out.mp4", "--model", tmp_path / "saved", "--preprocess", "0..1")
    assert result.exit_code == 0, result.output


def test_methods_lists_every_method_with_its_parameters() -> None:
    report = json.loads(cli("methods", "--json").stdout)
    assert list(report) == list(METHODS)
    assert report["occlusion"]["parameters"] == {"patch": 0, "stride": 0, "fill": None}
    assert all(entry["summary"] and entry["cost"] and entry["paper"] for entry in report.values())
    assert "Selvaraju" in cli("methods").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--param", "steps"], 2, "NAME=VALUE"),
        (["--method", "occlusion", "--param", "pach=3"], 2, "did you mean 'patch'"),
        (["--method", "occlusion", "--param", "patch=300"], 1, "patch <= 32"),
        (["--method", "no.such.module:method"], 1, "no module no"),
        (["--target", "1 - 9"], 1, "0 to 4"),
        (["--target", "clas 3"], 1, "did you mean 'class 3'"),
        (["--target", f"{__name__}:second_logit"], 1, "second_logit"),
        (["--target", f"{__name__}:nothing"], 1, "no function 'nothing'"),
        (["--layer", "global_average_pooling2d"], 1, "layer"),
        (["--layer", "predictions"], 1, "after the pooling"),
        (["--extra-input", "numbers=3"], 1, "input"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    clip: Path, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *FUNCTIONAL, *arguments)
    assert says in one_line(result.stderr)
    assert (result.exit_code, result.stdout) == (code, "")
    assert list(tmp_path.iterdir()) == []
