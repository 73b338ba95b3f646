"""The command line for scripts: exit codes, stdout, stderr; in this process, with a small model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pipeline import clips

from .runner import cli, one_line

SMALL = ["--model", "tests.pipeline.models:brightness", "--preprocess", "none"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    frames = [np.kron(rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((16, 16, 1), np.uint8)) for _ in range(12)]
    return clips.write_clip(tmp_path_factory.mktemp("cli") / "clip.mp4", frames)


def test_json_is_one_object_with_what_the_contract_names(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = cli("process", clip, "-o", out, *SMALL, "--every", 3, "--precision", "float32", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(one_line(result.stdout))
    assert report["input"].endswith("clip.mp4")
    assert report["output"] == str(out)
    counts = {key: report[f"frames_{key}"] for key in ("in", "out", "skipped", "explained", "held")}
    assert counts == {"in": 12, "out": 12, "skipped": 0, "explained": 4, "held": 8}
    assert set(report["stage_seconds"]) == {"decode", "model", "draw", "encode"}
    assert all(seconds > 0 for seconds in report["stage_seconds"].values())
    assert report["fps"] == pytest.approx(12 / report["wall_seconds"], rel=0.05)
    assert (report["method"], report["layer"], report["precision"], report["device"]) == (
        "gradcam",
        "evidence",
        "float32",
        "cpu",
    )
    assert report["batch"] == 2  # 8 frames a batch, of which every third is explained
    assert report["model"] == "tests.pipeline.models:brightness"
    assert "target layer evidence" in result.stderr
    assert len(clips.read_rgb(out)) == 12


@pytest.mark.parametrize("first", ["a.mp4", "a.gradcam.mp4"])
def test_no_result_takes_the_place_of_another_input(clip: Path, tmp_path: Path, first: str) -> None:
    names = [first, *({"a.mp4", "a.gradcam.mp4"} - {first})]
    for name in names:
        (tmp_path / name).write_bytes(clip.read_bytes())
    inputs = [tmp_path / name for name in names]
    result = cli("process", *inputs, "-o", f"{tmp_path}/", "--overwrite", *SMALL)
    assert result.exit_code == 1
    assert "a.gradcam.mp4 is the input itself" in one_line(result.stderr)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(names, clip.read_bytes())


def test_quiet_prints_nothing(clip: Path, tmp_path: Path) -> None:
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *SMALL, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_the_default_output_is_in_the_working_directory(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    assert cli("process", clip, *SMALL, "-q").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip.gradcam.mp4"]


def test_an_existing_output_is_left_alone(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("precious")
    result = cli("process", clip, "-o", out, *SMALL)
    assert result.exit_code == 1
    assert "--overwrite" in one_line(result.stderr)
    assert out.read_text() == "precious"
    result = cli("process", clip, "-o", out, *SMALL, "--overwrite", "--layer", "lost")
    assert result.exit_code == 1
    assert out.read_text() == "precious"  # nothing to replace it with yet
    assert cli("process", clip, "-o", out, *SMALL, "--overwrite").exit_code == 0
    assert len(clips.read_rgb(out)) == 12


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.mp4"], "missing.mp4"),
        (["missing-*.mp4"], "nothing matches"),
        (["{clip}", "-o", "{tmp}/no/such/folder/out.mp4"], "folder"),
        (["{clip}", "-o", "{clip}", "--overwrite"], "input"),
        (["{clip}", "--model", "nosuch"], "streamcam models"),
        (["{clip}", "--device", "gpu:7"], "cpu"),
        (["{clip}", "--target", "nothing like it"], "unknown --target 'nothing like it'; expected top"),
        (["{clip}", "--layer", "evidenze"], "did you mean 'evidence'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    model = [] if "--model" in arguments else SMALL
    result = cli("process", *(a.format(clip=clip, tmp=tmp_path) for a in arguments), *model)
    assert result.exit_code == 1, result.output
    assert says in one_line(result.stderr)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x", "--colormap", "viridi"], "viridis"),
        (["x", "--start", "soon"], "1:30"),
        (["x", "--start", "1:2:3:4"], "1:30"),
        (["x", "--alpha", "2"], "0 to 1"),
        (["x", "--every", "two"], "1 or more, a whole number, or auto"),
        (["x", "--every", "0"], "auto"),
        (["x", "--every", "-3"], "auto"),
        (["x", "--every", "auto", "--change-threshold", "14"], "0 to 1"),
        (["x", "--interpolation", "nothing"], "linear"),
        (["{clip}", "--preset", "veryfsat"], "veryfast"),
        (["x", "y", "-o", "z.mp4"], "folder"),
        ([""], "empty"),
        (["{clip}", "-o", "out.xyz"], "expected one of .mp4"),
        (["{clip}", "-o", "out"], "no suffix"),
        (["x", "--method", "gradcan"], "did you mean 'gradcam'"),
        (["x", "y", "--method", "gradcan"], "did you mean 'gradcam'"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2(clip: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    arguments = [str(clip) if a == "{clip}" else a for a in arguments]
    result = cli("process", *arguments)
    assert result.exit_code == 2, result.output
    assert says in one_line(result.stderr)


@pytest.mark.parametrize(
    "arguments", [["process"], ["process", "x", "--nonsense"], ["process", "x", "--change-threshold", "much"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


@pytest.mark.slow
def test_several_inputs_go_on_after_a_broken_one(clip: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    for name in ("a.mp4", "c.mp4"):
        (inputs / name).write_bytes(clip.read_bytes())
    (inputs / "b.mp4").write_text("this is no video")
    results = tmp_path / "results"
    result = cli("process", inputs, "-o", f"{results}/", *SMALL, "--json")
    assert result.exit_code == 1
    report = json.loads(one_line(result.stdout))
    assert not report["interrupted"]
    assert [Path(done["output"]).name for done in report["results"]] == ["a.gradcam.mp4", "c.gradcam.mp4"]
    assert [failed["input"] for failed in report["failed"]] == [str(inputs / "b.mp4")]
    assert [done["input"] for done in report["results"]] == [str(inputs / name) for name in ("a.mp4", "c.mp4")]
    assert result.stderr.count("target layer") == 1
    (line,) = [line for line in result.stderr.splitlines() if "b.mp4" in line]
    assert line.count("b.mp4") == 1
    assert "internal error" not in result.stderr
    assert sorted(path.name for path in results.iterdir()) == ["a.gradcam.mp4", "c.gradcam.mp4"]


def test_a_part_of_the_clip(clip: Path, tmp_path: Path) -> None:
    result = cli("process", clip, "-o", tmp_path / "out.mp4", *SMALL, "--start", "0.3", "--end", "0:00:00.9", "--json")
    assert json.loads(result.stdout)["frames_out"] == 6


def test_an_image_becomes_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    sample = Path(__file__).parents[2] / "samples" / "coffee.png"
    assert cli("process", sample, *SMALL, "-q").exit_code == 0
    assert clips.read_rgb(tmp_path / "coffee.gradcam.png")[0].shape == clips.read_rgb(sample)[0].shape


@pytest.mark.slow
def test_an_image_keeps_its_odd_sides(tmp_path: Path) -> None:
    odd = tmp_path / "odd.png"
    Image.fromarray(np.full((33, 51, 3), 128, np.uint8)).save(odd)
    for layout, width in (("overlay", 51), ("side-by-side", 103)):
        out = tmp_path / f"{layout}.png"
        assert cli("process", odd, "-o", out, *SMALL, "-q", "--layout", layout).exit_code == 0
        assert clips.read_rgb(out)[0].shape == (33, width, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x" * 251 + ".mp4", "x" * 300 + ".mp4"])
def test_long_names(clip: Path, tmp_path: Path, name: str) -> None:
    result = cli("process", clip, "-o", tmp_path / name, *SMALL, "-q")
    if len(name) > 255:
        assert result.exit_code == 1
        assert "too long" in one_line(result.stderr)
    else:
        assert (result.exit_code, result.output) == (0, "")
        data = (tmp_path / name).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.slow
def test_a_full_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        code = "from streamcam.cli import main; import sys; sys.argv = ['streamcam', 'methods', '--json']; main()"
        run = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    assert "internal error" not in run.stderr


def test_methods_models_and_layers_in_json() -> None:
    assert "gradcam" in json.loads(cli("methods", "--json").stdout)
    models = json.loads(cli("models", "--json").stdout)["models"]
    assert models[0]["name"] == "efficientnet-lite0"
    assert {"MobileNetV2", "ResNet50"} <= {entry["name"] for entry in models}
    layers = json.loads(cli("layers", "tests.pipeline.models:brightness_of_fixed_size", "--all", "--json").stdout)
    rows = {row["path"]: row for row in layers["layers"]}
    assert layers["input"] == [112, 112]
    assert rows["evidence"]["auto"]
    assert rows["evidence"]["stride"] == [16, 16]
    assert [path for path, row in rows.items() if row["auto"]] == ["evidence"]
    assert not rows["dense" if "dense" in rows else max(p for p in rows if p.startswith("dense"))]["usable"]


def test_tables() -> None:
    layers = cli("layers", "tests.pipeline.models:brightness_of_fixed_size").stdout
    assert "evidence" in layers
    assert "7x7x1" in layers
    assert "arXiv:1610.02391" in cli("methods").stdout
    assert "MobileNetV2" in cli("models").stdout
    doctor = cli("doctor").stdout
    assert "cpu" in doctor
    assert "h264" in doctor


@pytest.mark.slow
def test_doctor_in_json() -> None:
    found = json.loads(cli("doctor", "--json").stdout)
    assert found["devices"][0] == "cpu"
    assert "float32" in found["precisions"]
    assert "h264" in found["codecs"]
    assert found["drawing"].startswith(("compiled", "NumPy"))
    assert {"cache_dir", "hw_decode", "hw_encode", "gpu_pipeline"} <= set(found)


def run_in_new_process(code: str) -> Any:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_help_loads_nothing_heavy() -> None:
    code = """
import sys, streamcam.cli.app
from typer.testing import CliRunner
assert CliRunner().invoke(streamcam.cli.app.app, ["process", "--help"]).exit_code == 0
print(sorted({"tensorflow", "keras", "av", "cv2", "numpy"} & set(sys.modules)))
"""
    assert run_in_new_process(code).strip() == "[]"


def test_a_missing_input_fails_before_tensorflow_is_loaded() -> None:
    code = """
import sys, streamcam.cli.app
from typer.testing import CliRunner
assert CliRunner().invoke(streamcam.cli.app.app, ["process", "missing.mp4"]).exit_code == 1
print("tensorflow" in sys.modules)
"""
    assert run_in_new_process(code).strip() == "False"


def test_the_public_list_is_exact() -> None:
    code = """
import streamcam
for name in streamcam.__all__:
    assert getattr(streamcam, name).__name__ == name
print(" ".join(streamcam.__all__))
"""
    assert run_in_new_process(code).split() == [
        "Activations", "DeviceError", "Explainer", "Explanation", "FilterImage", "FilterStudy", "FrameExplanation",
        "LayerError", "MethodError", "ModelError", "OptionError", "PreprocessWarning", "ProcessResult", "Record",
        "SinkError", "SourceError", "StreamcamError", "Summary", "TargetError", "frames", "open_record", "process",
        "process_all", "render", "show_activations", "visualize_filters",
    ]  # fmt: skip
