"""Scaling over cores and devices; from made-up measurements, and the real busy shares of one run."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import streamcam.bench.scaling
from streamcam.bench.case import Case
from streamcam.bench.environment import limit_cores
from streamcam.bench.matrix import BenchmarkMatrix
from streamcam.bench.scaling import core_counts, measure_scaling
from streamcam.bench.stages import STAGES
from streamcam.cli.app import app
from streamcam.errors import StreamcamError

from .bench_helpers import ENVIRONMENT


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "--scaling", *(str(a) for a in arguments)])


@pytest.fixture
def six_cores(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """A machine with six cores, two GPUs, and no memory for one core; the cases that were run."""
    cases: list[Case] = []

    def run_case(case: Case) -> dict[str, Any]:
        if case.stage == "warm_up":
            return {**ENVIRONMENT, "clip": case.clip}
        cases.append(case)
        if case.clip == "fails.mp4" or (case.cores == 4 and case.clip == "four-fail.mp4"):
            raise StreamcamError("not enough memory")
        seconds = 0.040 / (min(case.cores, 4) + case.device.count(","))
        busy = {"decode": 0.2, "model": 0.5, "draw": 0.1, "encode": 0.9}
        return {"wall": [seconds, seconds, 2 * seconds], "cpu": [0.040] * 3, "busy": busy, "memory_bytes": 1}

    monkeypatch.setattr(streamcam.bench.scaling, "run_case", run_case)
    monkeypatch.setattr(streamcam.bench.scaling, "cpu_count", lambda: 6)
    return cases


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (6, (1, 2, 4, 6)), (16, (1, 2, 4, 8, 16))]
)
def test_cores_double_up_to_all(cores: int, counts: tuple[int, ...]) -> None:
    assert core_counts(cores) == counts


def test_speedup_and_efficiency_are_those_over_the_first_step(six_cores: list[Case]) -> None:
    report = measure_scaling(BenchmarkMatrix(device="all", clip="clip.mp4")).as_dict()
    assert [(case.cores, case.device, case.batch) for case in six_cores] == [
        *((cores, "gpu:0", 8) for cores in (1, 2, 4, 6)),
        (6, "gpu:0", 8),
        (6, "gpu:0,gpu:1", 8),
    ]
    cores = [step for step in report["scaling"] if step["axis"] == "cores"]
    assert [step["fps"] for step in cores] == pytest.approx([25, 50, 100, 100])
    assert [step["speedup"] for step in cores] == pytest.approx([1, 2, 4, 4])
    assert [step["efficiency"] for step in cores] == pytest.approx([1, 1, 1, 4 / 6])
    assert [step["busy_cores"] for step in cores] == pytest.approx([1, 2, 4, 4])
    assert {step["bottleneck"] for step in cores} == {"encode"}
    first, second = (step for step in report["scaling"] if step["axis"] == "devices")
    assert second["speedup"] == pytest.approx(second["fps"] / first["fps"]) == pytest.approx(5 / 4)
    assert second["efficiency"] == pytest.approx(5 / 8)


def test_one_device_has_no_steps_of_devices(six_cores: list[Case]) -> None:
    steps = measure_scaling(BenchmarkMatrix(clip="clip.mp4")).steps
    assert {step.axis for step in steps} == {"cores"}


def test_a_failed_step_is_a_line(six_cores: list[Case]) -> None:
    result = cli("four-fail.mp4", "--quiet")
    assert result.exit_code == 0, result.output
    assert "4 cores: not enough memory" in result.stdout
    assert "encoding, 90% busy" in result.stdout
    report = json.loads(cli("four-fail.mp4", "--quiet", "--json").stdout)
    assert [bool(step["error"]) for step in report["scaling"]] == [False, False, True, False]


def test_no_step_is_a_failure(six_cores: list[Case]) -> None:
    result = cli("fails.mp4", "--quiet")
    assert result.exit_code == 1
    assert "no step succeeded" in result.stderr


@pytest.mark.parametrize("option", ["--plot", "--save", "--compare"])
def test_other_results_do_not_go_with_it(option: str, six_cores: list[Case], tmp_path: Path) -> None:
    result = cli("clip.mp4", option, tmp_path / "x.png")
    assert result.exit_code == 2
    assert f"{option} with --scaling" in result.stderr
    assert six_cores == []


def test_one_batch_is_measured(six_cores: list[Case]) -> None:
    for arguments, batch in (([], 8), (["--batch", 4], 4)):
        six_cores.clear()
        assert cli("clip.mp4", "--quiet", *arguments).exit_code == 0
        assert {case.batch for case in six_cores} == {batch}
    six_cores.clear()
    result = cli("clip.mp4", "--batch", "1,8")
    assert result.exit_code == 2
    assert "--batch 1,8 with --scaling; expected one number" in result.stderr
    assert six_cores == []


def test_a_system_that_cannot_limit_cores_is_refused(six_cores: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")
    result = cli("clip.mp4")
    assert result.exit_code == 1
    assert "expected Linux" in result.stderr


def test_a_case_runs_on_its_cores() -> None:
    before = os.sched_getaffinity(0)
    found: list[set[int]] = []

    def limited() -> None:  # affinity belongs to a thread
        limit_cores(1)
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert found == [{min(before)}]
    assert os.sched_getaffinity(0) == before
    case = Case(stage="end_to_end", clip="a", frames=8, repeats=1, work_dir="w", device="cpu", batch=8, cores=2)
    assert Case.from_json(case.to_json()).cores == 2
    assert case.name == "end to end, cpu, batch 8, 2 cores"


def test_stages_are_busy_for_a_share_of_the_time(clip: Path, tmp_path: Path) -> None:
    options = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "precision": "float32"}
    case = Case(
        stage="end_to_end",
        clip=str(clip),
        frames=16,
        repeats=1,
        work_dir=str(tmp_path),
        device="cpu",
        batch=4,
        options=options,
    )
    busy = STAGES["end_to_end"](case)["busy"]
    assert set(busy) == {"decode", "model", "draw", "encode"}
    assert all(0 < share <= 1.05 for share in busy.values())
