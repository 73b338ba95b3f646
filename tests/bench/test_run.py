"""One real benchmark, as small as possible: its numbers must agree with each other."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from streamcam.bench.compare import check_comparable, load

from . import bench_helpers as runs

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Run:
    report: dict[str, Any]
    log: str
    plot: Path
    saved: Path


@pytest.fixture(scope="session")
def run(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight frames, once."""
    folder = tmp_path_factory.mktemp("bench")
    plot, saved = folder / "bench.png", folder / "bench.json"
    sizes = ["--frames", "8", "--repeats", "1", "--batch", "2", "--precision", "float32", "--device", "cpu"]
    process = runs.start_bench(clip, *sizes, "--json", "--plot", plot, "--save", saved)
    out, err = process.communicate(timeout=220)
    assert process.returncode == 0, err
    assert out.count("\n") == 1
    return Run(json.loads(out), err, plot, saved)


def rows(run: Run, **criteria: Any) -> list[dict[str, Any]]:
    return [row for row in run.report["rows"] if all(row[name] == value for name, value in criteria.items())]


def test_each_stage_is_measured(run: Run) -> None:
    good = rows(run, error="")
    stages = [row["stage"] for row in good if row["stage"] != "forward"]
    assert sorted(stages) == ["decode", "draw", "encode", "encode_source", "end_to_end", "model", "transcode"]
    assert any(row["precision"] == "float32" for row in good if row["stage"] == "forward")
    for row in good:
        assert len(row["wall"]) == len(row["cpu"]) == 1
        assert min(row["wall_seconds"], row["cpu_seconds"], row["memory_bytes"]) > 0
        assert row["fps"] == pytest.approx(1 / row["wall_seconds"])
        on_a_device = row["device"] == "cpu"
        assert (row["compile_seconds"] is not None) == on_a_device
        assert row["batch"] == 2 * on_a_device
        assert row["device_memory_bytes"] is None


def test_latency_is_that_of_a_frame_among_others(run: Run) -> None:
    (whole,) = rows(run, stage="end_to_end", device="cpu")
    assert 0 < whole["latency_p50_seconds"] <= whole["latency_p99_seconds"] < 8 * whole["wall_seconds"] + 1e-3


def test_the_analysis_follows_from_the_cases(run: Run) -> None:
    (analysis,) = run.report["analyses"]
    alone = {row["stage"]: row for row in rows(run, error="") if row["stage"] != "forward"}
    speeds = {
        "decode": alone["decode"]["fps"],
        "model": alone["model"]["fps"],
        "draw": alone["draw"]["fps"],
        "encode": alone["encode"]["fps"],
    }
    assert analysis["fps"] == pytest.approx(speeds)
    assert analysis["bottleneck"] == min(speeds, key=lambda part: speeds[part])
    forward = min(row["cpu_seconds"] for row in rows(run, stage="forward", error=""))
    bound = alone["transcode"]["cpu_seconds"] + forward
    assert analysis["bound_cpu_seconds"] == pytest.approx(bound)
    assert analysis["bound_wall_seconds"] == pytest.approx(bound / run.report["machine"]["cores"])
    assert analysis["cpu_over_bound"] == pytest.approx(alone["end_to_end"]["cpu_seconds"] / bound)


def test_everything_else_goes_to_stderr(run: Run) -> None:
    assert "cases of 8 frames, 1 + 1 times each" in run.log
    assert "end to end, cpu, batch 2:" in run.log
    assert "Traceback" not in run.log


def test_the_plot_is_an_image(run: Run) -> None:
    with Image.open(run.plot) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
        assert np.asarray(image.convert("L")).std() > 10


def test_the_saved_result_is_the_printed_one(run: Run) -> None:
    assert json.loads(run.saved.read_text()) == run.report
    saved = load(run.saved)
    assert json.loads(json.dumps(saved.as_dict())) == run.report
    check_comparable(saved, saved)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_child_and_leaves_nothing(clip: Path, tmp_path: Path, number: signal.Signals) -> None:
    small = [
        "--model",
        "tests.pipeline.models:brightness",
        "--batch",
        "8",
        "--frames",
        "1000",
        "--precision",
        "float32",
    ]
    process = runs.start_bench(clip, *small, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        assert process.stderr is not None
        assert "cases of 1000 frames" in process.stderr.readline() + process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert process.returncode == (130 if number == signal.SIGINT else 143), err
        assert out == ""
        assert "Traceback" not in err
        assert list(tmp_path.iterdir()) == []
        beat = threading.Event()
        for _ in range(100):
            if not _processes_with(str(tmp_path)):
                break
            beat.wait(0.1)
        assert _processes_with(str(tmp_path)) == []
    finally:
        process.kill()
        process.communicate()


def _processes_with(text: str) -> list[str]:
    """Return the command lines that contain a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
