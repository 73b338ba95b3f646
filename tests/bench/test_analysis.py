"""Analysis, comparison and refused options; from made-up measurements."""

from __future__ import annotations

import errno
import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import streamcam.bench.compare
import streamcam.bench.plot
import streamcam.bench.result
from streamcam.bench.analysis import analyze, scaling
from streamcam.bench.case import Case
from streamcam.bench.clip import loop_clip, synthetic_size
from streamcam.bench.compare import load
from streamcam.bench.matrix import BenchmarkMatrix
from streamcam.bench.result import bench
from streamcam.bench.runner import Measurement, measure_case, run_case
from streamcam.cli.app import app
from streamcam.errors import OptionError
from streamcam.options import SourceOptions
from streamcam.sources import open_source

from .bench_helpers import ENVIRONMENT, row

STAGES_ALONE = [row(stage) for stage in ("decode", "draw", "encode", "encode_source", "transcode")]


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", *(str(a) for a in arguments)])


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """A machine with two GPUs on which batches above 8 do not fit; the cases that were measured."""
    cases: list[Case] = []

    def measure_case(case: Case) -> Measurement:
        cases.append(case)
        if case.batch > 8:
            return Measurement(stage=case.stage, device=case.device, batch=case.batch, error="not enough memory")
        seconds = {"forward": 0.003}.get(case.stage, 0) or (0.007 if "," in case.device else 0)
        return row(
            case.stage,
            case.device,
            case.batch,
            case.precision,
            seconds=seconds,
            latency_p50_seconds=0.1,
            latency_p99_seconds=1,
        )

    monkeypatch.setattr(streamcam.bench.result, "run_case", lambda case: ENVIRONMENT)
    monkeypatch.setattr(streamcam.bench.result, "measure_case", measure_case)
    return cases


def test_the_bound_on_a_cpu_is_the_sum_over_the_cores() -> None:
    forwards = [row("forward", "cpu", 8, "float32", seconds=0.009), row("forward", "cpu", 8, "bfloat16", seconds=0.005)]
    (analysis,) = analyze([*STAGES_ALONE, *forwards, row("model", "cpu", 8), row("end_to_end", "cpu", 8)], cores=4)
    assert analysis.bound_cpu_seconds == pytest.approx(2 * (0.005 + 0.005))
    assert analysis.bound_wall_seconds == pytest.approx(2 * (0.005 + 0.005) / 4)
    assert analysis.forward_precision == "bfloat16"
    assert analysis.bottleneck == "model"


def test_a_gpu_works_beside_the_cpu() -> None:
    forward = row("forward", "gpu:0", 8, "float16", seconds=0.0001)
    (analysis,) = analyze([*STAGES_ALONE, forward, row("model", "gpu:0", 8), row("end_to_end", "gpu:0", 8)], cores=4)
    assert analysis.bound_wall_seconds == pytest.approx(2 * 0.005 / 4)
    forward = row("forward", "gpu:0", 8, "float16", seconds=0.006)
    (analysis,) = analyze([*STAGES_ALONE, forward, row("model", "gpu:0", 8), row("end_to_end", "gpu:0", 8)], cores=4)
    assert analysis.bound_wall_seconds == pytest.approx(0.006)


def test_what_is_drawn_costs_the_encoder_something() -> None:
    rows = [
        row("forward", "cpu", 1, seconds=0.003),
        row("model", "cpu", 1, seconds=0.0035),
        row("end_to_end", "cpu", 1),
    ]
    (analysis,) = analyze([*STAGES_ALONE, *(replace(r, precision="float32") for r in rows)], cores=1)
    assert analysis.bottleneck == "encode"
    assert analysis.overlay_cpu_seconds == pytest.approx(2 * (0.004 - 0.003))
    values = analysis.as_dict()
    assert values["cpu_over_bound"] == pytest.approx(0.012 / 0.008)
    assert values["cpu_over_bound_and_overlay"] == pytest.approx(0.012 / (0.008 + 0.001))


def test_devices_are_measured_alone_and_then_together(two_gpus: list[Case]) -> None:
    result = bench(BenchmarkMatrix(device="all", batches=(1, 8, 64)))
    wholes = [(case.device, case.batch) for case in two_gpus if case.stage == "end_to_end"]
    assert wholes == [*((f"gpu:{n}", b) for n in (0, 1) for b in (1, 8, 64)), ("gpu:0,gpu:1", 1)]
    steps = scaling(result.rows)
    assert [step["devices"] for step in steps] == [1, 2]
    assert steps[1]["speedup"] == pytest.approx(0.012 / 0.007)
    assert {case.precision for case in two_gpus if case.stage == "forward"} == {"float32", "float16"}


@pytest.mark.parametrize("xla", [True, False])
def test_the_bare_model_has_the_compiler_of_the_method(tmp_path: Path, xla: bool) -> None:
    report = ENVIRONMENT | {"clip": "c.mp4", "device": "gpu:0", "precision": "float32", "xla": xla}
    cases = BenchmarkMatrix(device="gpu:0,cpu").cases(report, tmp_path)
    assert {case.stage for case in cases if case.xla} == ({"forward", "model", "end_to_end"} if xla else set())
    assert all(case.xla is xla for case in cases if case.device == "gpu:0")
    assert not any(case.xla for case in cases if case.device == "cpu")


def test_the_tables_show_failed_cases(two_gpus: list[Case], tmp_path: Path) -> None:
    result = cli("--device", "gpu:0,gpu:1", "--batch", "8,64", "--plot", tmp_path / "plot.png")
    assert result.exit_code == 0, result.output
    for output in ("Some GPU", "failed", "not enough memory", "Bottleneck (gpu:0, batch 8): the model", "More devices"):
        assert output in result.stdout
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_nothing_that_went_well_is_an_error(two_gpus: list[Case]) -> None:
    result = cli("--batch", "64", "--quiet")
    assert result.exit_code == 1
    assert "no end-to-end case succeeded" in result.stderr


def test_benchmarks_of_one_machine_are_compared(two_gpus: list[Case], tmp_path: Path) -> None:
    saved = tmp_path / "before.json"
    assert cli("--save", saved, "--quiet").exit_code == 0
    before = json.loads(saved.read_text())
    before["software"]["tensorflow"] = "1"
    for one in before["rows"]:
        one["wall"] = [2 * seconds for seconds in one["wall"]]
    saved.write_text(json.dumps(before))
    result = cli("--compare", saved, "--quiet")
    assert result.exit_code == 0, result.output
    assert "2.00" in result.stdout
    report = json.loads(cli("--compare", saved, "--json", "--quiet").stdout)
    assert [case["times_as_fast"] for case in report["compared"]] == pytest.approx([2.0] * len(report["rows"]))


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("machine", "cpu", "Another 3000"),
        ("machine", "cores", 1000),
        ("machine", "memory_gib", 7),
        ("machine", "devices", {"cpu": ""}),
        ("setting", "clip", "other.mp4"),
        ("setting", "model", "ResNet50"),
        ("setting", "method", "hirescam"),
    ],
)
def test_other_machines_and_settings_are_not_compared(
    two_gpus: list[Case], tmp_path: Path, part: str, name: str, value: Any
) -> None:
    saved = tmp_path / "before.json"
    assert cli("--save", saved, "--quiet").exit_code == 0
    before = json.loads(saved.read_text())
    before[part][name] = value
    saved.write_text(json.dumps(before))
    two_gpus.clear()
    result = cli("--compare", saved)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"{name} was" in result.stderr
    assert two_gpus == []  # refused before anything is measured


@pytest.mark.parametrize("text", ["", "[]", '{"rows": [{}]}'])
def test_what_is_no_benchmark_is_not_compared(tmp_path: Path, text: str) -> None:
    (tmp_path / "before.json").write_text(text)
    result = cli("--compare", tmp_path / "before.json")
    assert result.exit_code == 1
    assert "no benchmark" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"wall": []},
        {"cpu": []},
        {"wall": ["soon"]},
        {"wall": [0]},
        {"cpu": [-1.0]},
        {"cpu": [math.nan]},
        {"wall": 1},
        {"device": ["cpu"]},
        {"stage": None},
        {"batch": "8"},
    ],
)
def test_an_earlier_benchmark_that_is_broken_is_refused_before_anything_is_measured(
    two_gpus: list[Case], tmp_path: Path, wrong: dict[str, Any]
) -> None:
    saved = tmp_path / "before.json"
    assert cli("--save", saved, "--quiet").exit_code == 0
    before = json.loads(saved.read_text())
    before["rows"][-1] |= wrong
    saved.write_text(json.dumps(before))
    two_gpus.clear()
    result = cli("--compare", saved)
    assert result.exit_code == 1
    assert "no benchmark" in result.stderr
    assert two_gpus == []


def test_measurements_are_kept_and_shown_after_any_failure(
    two_gpus: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    assert cli("--save", before, "--quiet").exit_code == 0

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(streamcam.bench.compare, "compare_rows", fail)
    result = cli("--compare", before, "--save", after, "--quiet")
    assert result.exit_code == 1
    assert "end to end" in result.stdout
    assert load(after).rows


def test_a_result_that_cannot_be_kept_is_shown(
    two_gpus: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_disk_full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail_disk_full)
    result = cli("--save", tmp_path / "after.json", "--json", "--quiet")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["rows"]
    assert "after.json cannot be written: No space left" in result.stderr


def test_a_plot_without_matplotlib_is_refused_at_once(two_gpus: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamcam.bench.plot, "find_spec", lambda name: None)
    result = cli("--plot", "plot.png")
    assert result.exit_code == 1
    assert result.stderr == "streamcam: --plot needs Matplotlib; pip install 'streamcam[bench]'\n"
    assert two_gpus == []


@pytest.mark.parametrize("option", ["--plot", "--save"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_clip_and_a_model_are_no_place_for_results(
    two_gpus: list[Case], tmp_path: Path, option: str, scheme: str
) -> None:
    clip, link = tmp_path / "clip.png", tmp_path / "link.png"
    clip.write_bytes(b"mine")
    link.symlink_to(clip)
    for arguments in (
        [f"{scheme}{clip}", option, clip],
        [f"{scheme}{clip}", option, link],
        ["--model", clip, option, clip],
    ):
        result = cli(*arguments)
        assert result.exit_code == 1
        assert result.stderr.endswith(f"is the input itself; choose another name with {option}\n")
    assert clip.read_bytes() == b"mine"
    assert two_gpus == []


def test_plot_and_result_need_a_place_each(two_gpus: list[Case], tmp_path: Path) -> None:
    assert cli("--plot", tmp_path / "a.png", "--save", tmp_path / "." / "a.png").exit_code == 2
    assert two_gpus == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "one"],
        ["--batch", "0"],
        ["--batch", "8", "--frames", "4"],
        ["--repeats", "0"],
        ["synthetic:1280"],
        ["synthetic:1281x720"],
        ["--codec", "theora"],
        ["--precision", "int4"],
    ],
)
def test_options_that_cannot_be_are_usage_errors(two_gpus: list[Case], arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert two_gpus == []


def test_a_process_that_ends_badly_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(stage="draw", clip="clip.mp4", frames=1, repeats=1, work_dir=str(tmp_path))
    assert "warm_up.json" in measure_case(case).error  # nothing was prepared
    killer = tmp_path / "killer"
    killer.write_text("#!/bin/sh\nkill -9 $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killer))
    assert "signal 9" in measure_case(case).error


@pytest.mark.parametrize("output", ["", "bye", "[1, 2]", '{"wall": [0.1'])
def test_a_process_without_a_report_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    silent = tmp_path / "silent"
    silent.write_text(f"#!/bin/sh\necho '{output}'\n")
    silent.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silent))
    case = Case(stage="draw", clip="clip.mp4", frames=1, repeats=1, work_dir=str(tmp_path))
    assert measure_case(case).error == "draw: its process ended without a report"


@pytest.mark.slow
def test_a_report_is_distinguished_from_other_output(clip: Path, tmp_path: Path) -> None:
    options = {"model": "tests.bench.bench_helpers:noisy_model", "preprocess": "none", "precision": "float32"}
    case = Case(stage="warm_up", clip=str(clip), frames=2, repeats=1, work_dir=str(tmp_path), batch=1, options=options)
    assert run_case(case)["layer"] == "evidence"


def test_a_clip_is_looped_and_cut(clip: Path) -> None:
    with open_source(loop_clip(str(clip), 120)) as source:
        assert source.info.num_frames == 120
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(120))
    assert len({b.pts - a.pts for a, b in itertools.pairwise(frames)}) == 1
    with open_source(loop_clip(str(clip), 7)) as source:
        assert len(list(source)) == 7


def test_sizes_of_synthetic_clips() -> None:
    assert synthetic_size("synthetic:640x360") == (640, 360)
    assert synthetic_size("clip.mp4") is None
    with pytest.raises(OptionError):
        synthetic_size("synthetic:640×360")
    assert SourceOptions(url="synthetic.mp4").url == "synthetic.mp4"
