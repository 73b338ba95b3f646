"""Runs on a Ray cluster of two nodes on this machine: a node lost in mid-run, a driver killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamcam.cluster.run import run_on_cluster
from streamcam.pipeline import run
from tests.cli.runner import cli

from .comparing import CHUNK_FRAMES, MODEL, contents, make_clip, make_job, record_files
from .conftest import add_node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DRIVER = """
import sys
import streamcam.cluster.results
from streamcam.cluster.run import run_on_cluster
from tests.cluster.comparing import CHUNK_FRAMES, make_job
from pathlib import Path
streamcam.cluster.results.max_chunk_frames = lambda *facts: CHUNK_FRAMES
job = make_job(Path(sys.argv[1]), Path(sys.argv[2]))
run_on_cluster(job, "auto", on_progress=lambda *counts: print(*counts, flush=True))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("cluster") / "clip.mp4", count=160)


@pytest.fixture(autouse=True)
def small_chunks(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("streamcam.prepare", "streamcam.cluster.results"):
        monkeypatch.setattr(f"{module}.max_chunk_frames", lambda *facts: CHUNK_FRAMES)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)


@pytest.fixture(scope="module")
def expected(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamcam.prepare.max_chunk_frames", lambda *facts: CHUNK_FRAMES)
        path = tmp_path_factory.mktemp("alone") / "out.mp4"
        run(make_job(clip, path))
    return path


def check_equal(path: Path, expected: Path) -> None:
    assert record_files(path) == record_files(expected)
    assert len(contents(path)[0]) == 160
    assert contents(path) == contents(expected)


def test_a_node_is_lost(cluster: Any, clip: Path, expected: Path, tmp_path: Path) -> None:
    nodes = [add_node(cluster), add_node(cluster)]
    removed: list[int] = []

    def on_progress(done: int, total: int) -> None:
        if done >= total // 4 and not removed:
            removed.append(done)
            cluster.remove_node(nodes[0])

    summary = run_on_cluster(make_job(clip, tmp_path / "out.mp4"), "auto", on_progress=on_progress)
    assert removed
    assert any("is lost; its chunks are done again" in note for note in summary.notes)
    check_equal(tmp_path / "out.mp4", expected)


def test_a_driver_is_killed(clip: Path, expected: Path, tmp_path: Path) -> None:
    """The node that is left from the test before finishes what the dead driver has begun."""
    out, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.streamcam"
    arguments = [sys.executable, "-c", DRIVER, str(clip), str(out)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline()
        driver.send_signal(signal.SIGKILL)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert 0 < len(manifest["chunks"]) < len(manifest["plan"])
    result = run_on_cluster(make_job(clip, out, resume=True), "auto")
    assert result.frames_out == 160
    check_equal(out, expected)


def test_the_command(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    options = ["--model", MODEL["model"], "--preprocess", "none"]
    result = cli("process", clip, "-o", out, *options, "--cluster", "auto", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames_out"] == 160
    assert len(contents(out)[0]) == 160
    result = cli("process", clip, "-o", out, *options, "--cluster", "auto")
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)
