"""Runs by chunks equal runs on one machine: record byte for byte, video frame for frame. In this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamcam.cluster import run as run_module
from streamcam.cluster.run import run_on_cluster
from streamcam.errors import SinkError, SourceError, StreamcamError
from streamcam.pipeline import run
from tests.media_helpers import gradient_frame, write_clip

from .comparing import CHUNK_FRAMES, contents, make_clip, make_job, record_files
from .inline import InlineLoop, no_cluster


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("cluster") / "clip.mp4")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("streamcam.prepare", "streamcam.cluster.results"):
        monkeypatch.setattr(f"{module}.max_chunk_frames", lambda *facts: CHUNK_FRAMES)
    monkeypatch.setattr(run_module, "connect", no_cluster)
    monkeypatch.setattr(run_module, "WorkerLoop", InlineLoop)


@pytest.mark.parametrize(
    "options",
    [
        {},
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                {"scale": "stream", "layout": "side-by-side", "target": ("0", "1"), "crf": 0},
                {"every": 4, "interpolation": "linear"},
                {"every": 4, "interpolation": "flow"},
                {"every": "auto", "change_threshold": 0.2},
                {"start": 0.6, "end": 1.9, "scale": "frame"},
            )
        ),
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()) or "defaults",
)
def test_the_result_is_that_of_one_machine(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    alone, cluster = tmp_path / "alone" / "out.mp4", tmp_path / "cluster" / "out.mp4"
    for path in (alone, cluster):
        path.parent.mkdir()
    expected = run(make_job(clip, alone, **options))
    progress: list[tuple[int, int]] = []
    summary = run_on_cluster(
        make_job(clip, cluster, **options), "local", on_progress=lambda *counts: progress.append(counts)
    )
    assert record_files(cluster) == record_files(alone)
    assert len(record_files(cluster)) >= 6
    assert contents(cluster) == contents(alone)
    for name in ("frames_in", "frames_out", "frames_explained", "frames_held", "frames_zero_map", "precision", "batch"):
        assert getattr(summary, name) == getattr(expected, name), name
    assert progress[-1] == (expected.frames_in, expected.frames_in)
    assert progress == sorted(progress)


@pytest.mark.slow
def test_frames_before_time_0_are_moved_alike(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [gradient_frame(160, 96, n) for n in range(40)], range(-9, 31), audio=True)
    for folder in ("alone", "cluster"):
        (tmp_path / folder).mkdir()
    run(make_job(clip, tmp_path / "alone" / "out.mp4"))
    run_on_cluster(make_job(clip, tmp_path / "cluster" / "out.mp4"), "local")
    assert contents(tmp_path / "cluster" / "out.mp4") == contents(tmp_path / "alone" / "out.mp4")


@pytest.mark.slow
def test_an_output_that_is_no_video_is_drawn_here(clip: Path, tmp_path: Path) -> None:
    for folder in ("alone", "cluster"):
        (tmp_path / folder).mkdir()
    run(make_job(clip, tmp_path / "alone" / "out.gif"))
    run_on_cluster(make_job(clip, tmp_path / "cluster" / "out.gif"), "local")
    assert record_files(tmp_path / "cluster" / "out.gif") == record_files(tmp_path / "alone" / "out.gif")
    assert (tmp_path / "cluster" / "out.gif").read_bytes() == (tmp_path / "alone" / "out.gif").read_bytes()


class _Stop(Exception):
    """Ends a driver, as a kill would."""


def count_calls(monkeypatch: pytest.MonkeyPatch, *, stop_at_draw: int = 0) -> list[str]:
    """Return the list of calls of workers; end the run at one that draws."""
    calls: list[str] = []

    def before_call(method: str) -> None:
        calls.append(method)
        if method == "draw" and calls.count("draw") == stop_at_draw:
            raise _Stop

    monkeypatch.setattr(InlineLoop, "before_call", staticmethod(before_call))
    return calls


def test_a_driver_that_was_stopped_continues(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks on the disk are not done again, but one whose segment is damaged."""
    (tmp_path / "alone").mkdir()
    run(make_job(clip, tmp_path / "alone" / "out.mp4"))
    out, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.streamcam"
    count_calls(monkeypatch, stop_at_draw=4)
    with pytest.raises(_Stop):
        run_on_cluster(make_job(clip, out), "local")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (len(manifest["plan"]), len(manifest["chunks"]), out.exists()) == (6, 4, False)
    _, second = sorted(folder.glob("segment-*.bin"))
    second.write_bytes(second.read_bytes()[:-1])
    out.write_bytes(b"begun")  # by a driver that was killed while it joined
    calls = count_calls(monkeypatch)
    run_on_cluster(make_job(clip, out, resume=True), "local")
    assert (calls.count("explain"), calls.count("draw")) == (2, 5)
    assert record_files(out) == record_files(tmp_path / "alone" / "out.mp4")
    assert contents(out) == contents(tmp_path / "alone" / "out.mp4")
    calls.clear()
    assert run_on_cluster(make_job(clip, out, resume=True), "local").frames_out == 60
    assert calls == []  # record and output are complete


@pytest.mark.slow
def test_a_damaged_record_and_another_suffix(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damaged chunk is explained again; video of another format is not joined with the new one."""
    (tmp_path / "alone").mkdir()
    expected, record = tmp_path / "alone" / "out.mkv", tmp_path / "record"
    run(make_job(clip, expected))
    count_calls(monkeypatch, stop_at_draw=4)
    with pytest.raises(_Stop):
        run_on_cluster(make_job(clip, tmp_path / "out.mp4", record=str(record)), "local")
    maps = record / "maps-0001.npy"
    maps.write_bytes(maps.read_bytes()[:-1] + b"x")
    calls = count_calls(monkeypatch)
    run_on_cluster(make_job(clip, tmp_path / "out.mkv", record=str(record), resume=True), "local")
    assert (calls.count("explain"), calls.count("draw")) == (3, 6)
    assert contents(tmp_path / "out.mkv") == contents(expected)


def test_files_that_a_node_does_not_see_are_sent(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamcam.cluster import files

    monkeypatch.setattr("streamcam.cluster.files.PIECE_BYTES", 5000)
    monkeypatch.setattr(files.JobFile, "is_here", property(lambda self: False))
    out = tmp_path / "out.mp4"
    summary = run_on_cluster(make_job(clip, out), "local")
    assert any("does not see" in note for note in summary.notes)
    assert len(contents(out)[0]) == 60


def test_urls_in_and_out(clip: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/clips/clip.mp4", clip.read_bytes())
    out = tmp_path / "out.mp4"
    summary = run_on_cluster(make_job("memory://clips/clip.mp4", out), "local", output_url="memory://clips/out.mp4")
    assert summary.output == "memory://clips/out.mp4"
    assert not out.exists()
    out.write_bytes(memory.cat_file("/clips/out.mp4"))
    assert len(contents(out)[0]) == 60
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.mp4", "out.mp4.streamcam"]
    with pytest.raises(SinkError, match=r"memory://clips/out.mp4 exists already"):
        run_on_cluster(make_job(clip, tmp_path / "b.mp4"), "local", output_url="memory://clips/out.mp4")


def test_a_node_with_other_software_is_one_line(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"streamcam": "0.0.1", "tensorflow": "2.21.0", "keras": "3", "av": "18", "numpy": "2"}
    monkeypatch.setattr(InlineLoop, "_call", lambda *arguments: versions)
    with pytest.raises(StreamcamError, match=r"the node host-0 has streamcam 0.0.1; expected \S+, as here; install"):
        run_on_cluster(make_job(clip, tmp_path / "out.mp4"), "local")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_loaded_names_the_node(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(StreamcamError, match="on the node host-0: nosuch:model cannot be imported"):
        run_on_cluster(make_job(clip, tmp_path / "out.mp4", model="nosuch:model"), "local")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_line(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"the folder .*none does not exist"):
        run_on_cluster(make_job(clip, tmp_path / "none" / "out.mp4"), "local")


@pytest.mark.parametrize("module", ["run", "results"])
def test_a_source_without_chunks_is_processed_here(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """Whether it is known at once, or only with the size of the maps."""
    monkeypatch.setattr(f"streamcam.cluster.{module}.plan_run", lambda *facts: None)
    out = tmp_path / "out.mp4"
    summary = run_on_cluster(make_job(clip, out), "local")
    assert summary.frames_out == 60
    assert sum("processed on this machine" in note for note in summary.notes) == 1


def test_a_missing_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none.mp4 does not exist"):
        run_on_cluster(make_job(tmp_path / "none.mp4", tmp_path / "out.mp4"), "local")
