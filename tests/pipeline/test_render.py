"""``streamcam render``: the frames of the direct run, drawn from its record without the model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import streamcam
from streamcam import chunks
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import OptionError, SourceError, StreamcamError
from streamcam.frames import ExplainedFrame, SourceInfo
from streamcam.job import Job, LiveJob
from streamcam.pipeline import RunCallbacks, run
from streamcam.record import RecordWriter
from streamcam.record import writer as writer_module
from streamcam.run_record import open_run_record
from streamcam.temporal import peak
from tests.cli.runner import cli, one_line

MODEL: dict[str, Any] = {
    "model": "tests.pipeline.models:brightness",
    "preprocess": "none",
    "precision": "float32",
    "target": ("top", "1"),
}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 7)
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", 7)


@cache
def explainer(method: str) -> FrameExplainer:
    job = Job.from_options("any.mp4", "any.mp4", **MODEL, method=method)
    return load_explainer(job.model, job.explain)


def process(clip: Path, out: Path, **options: Any) -> Any:
    job = Job.from_options(clip, out, **MODEL | {"codec": "ffv1", "method": "gradcam", "end": 0.8} | options)
    loaded = explainer(job.explain.method).with_options(target=job.explain.target)
    return run(job, explainer=loaded)


def planes(path: Path) -> list[np.ndarray]:
    """All samples of each frame of a lossless video: the frames before encoding."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray().astype(np.float64) for frame in container.decode(video=0)]


def check_equal(first: Path, second: Path) -> None:
    """Equal but for float16 rounding."""
    one, other = planes(first), planes(second)
    assert len(one) == len(other) > 10
    errors = np.array(one) - np.array(other)
    assert 10 * np.log10(255**2 / max((errors**2).mean(), 1e-12)) >= 50
    # Rounding moves an attribution by at most one of 255 levels: one step in the colors and the opacity.
    assert np.abs(errors).max() <= 4


CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "every, hold": {"every": 4},
    "every, linear": {"every": 4, "interpolation": "linear"},
    "every auto, flow": {"every": "auto", "change_threshold": 0.02, "interpolation": "flow"},
    "pixels": {"method": "saliency", "scale": "frame"},
    "signed": {"method": "gradient-x-input", "every": 3, "layout": "heatmap"},
    "relief": {"method": "guided-backprop", "layout": "side-by-side"},
    "fixed scale": {"scale": 0.5, "size": "200%", "legend": True},
    "scale of the stream": {"scale": "stream", "every": 2, "interpolation": "linear"},
    "captions": {"top_k": 2, "caption_fields": "class,probability,score,target,method,layer,time", "target": "top"},
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case in ("default", "every, linear") else pytest.mark.slow) for case in CASES],
)
def test_the_rendered_frames_are_those_of_the_run(clip: Path, tmp_path: Path, case: str) -> None:
    direct = process(clip, tmp_path / "direct.mkv", **CASES[case], record="auto")
    summary = streamcam.render(tmp_path / "direct.mkv.streamcam", tmp_path / "again.mkv", codec="ffv1")
    check_equal(tmp_path / "direct.mkv", tmp_path / "again.mkv")
    facts, expected = summary.as_dict(), direct.as_dict()
    same = ("frames_in", "frames_out", "frames_explained", "frames_held", "targets", "method", "layer", "model")
    assert {name: facts[name] for name in same} == {name: expected[name] for name in same}


def test_other_options_are_those_of_a_direct_run(clip: Path, tmp_path: Path) -> None:
    drawing: dict[str, Any] = {"colormap": "viridis_r", "alpha": 0.9, "layout": "side-by-side", "scale": "frame"}
    process(clip, tmp_path / "recorded.mkv", record=str(tmp_path / "maps"), every=3, caption=False)
    process(clip, tmp_path / "direct.mkv", every=3, interpolation="linear", caption=False, target="1", **drawing)
    # The target is found by the text that requested it, and caption=False is inherited.
    streamcam.render(
        tmp_path / "maps", tmp_path / "again.mkv", codec="ffv1", target="1", interpolation="linear", **drawing
    )
    check_equal(tmp_path / "direct.mkv", tmp_path / "again.mkv")


@pytest.mark.parametrize("options", [{}, {"every": 3}, {"method": "gradient-x-input", "target": "1"}])
def test_the_scale_of_the_stream_is_exact(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Every frame is drawn by the largest attribution of the file, the first too; each target by its own."""
    job = Job.from_options(clip, tmp_path / "o.mkv", **MODEL | {"end": 0.8, "scale": "stream"} | options)
    items: list[ExplainedFrame] = []
    summary = run(
        job,
        explainer=explainer(job.explain.method).with_options(target=job.explain.target),
        callbacks=RunCallbacks(on_frame=items.append),
    )
    assert (summary.frames_in, summary.frames_out, summary.record) == (20, 20, None)
    map_kind = explainer(job.explain.method).map_kind
    for n in range(len(items[0].attributions)):
        peaks = [peak(item.attributions[n].heatmap, map_kind) for item in items]
        assert {item.attributions[n].vmax for item in items} == {max(peaks)}
        assert min(peaks) < max(peaks)
    assert [one.name for one in tmp_path.iterdir()] == ["o.mkv"]  # its record was temporary
    with av.open(str(tmp_path / "o.mkv")) as container:
        assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 20


def test_an_interrupt_while_the_scale_is_found(clip: Path, tmp_path: Path) -> None:
    """Ctrl-C before the first frame is drawn: the record is kept if it was asked for."""
    job = Job.from_options(clip, tmp_path / "o.mkv", **MODEL, scale="stream", record="auto")
    loaded, add = explainer("gradcam").with_options(target=job.explain.target), RecordWriter.add

    def interrupt(self: RecordWriter, item: ExplainedFrame) -> ExplainedFrame:
        added = add(self, item)
        if item.frame.index == 15:
            raise KeyboardInterrupt
        return added

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RecordWriter, "add", interrupt)
        run(job, explainer=loaded)
    assert not (tmp_path / "o.mkv").exists()
    assert len(streamcam.open_record(tmp_path / "o.mkv.streamcam")) == 16


def test_the_scale_of_a_stream_without_end_is_refused(clip: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    info = SourceInfo("clip", 160, 96, "yuv420p", Fraction(1, 25))
    for url, live in ((clip, True), (tmp_path / "pipe", False)):
        job = Job.from_options(url, tmp_path / "o.mkv", scale="stream")
        with (
            contextlib.ExitStack() as stack,
            pytest.raises(OptionError, match=r"--scale stream reads clip twice; expected a file; use --scale running"),
        ):
            open_run_record(job, replace(info, live=live), stack)
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
    with pytest.raises(OptionError, match="scale='stream' needs all frames"):
        streamcam.frames("clip.mp4", scale="stream")
    with pytest.raises(OptionError, match="unknown --scale 'stream'"):
        LiveJob.from_options([("a", "webcam")], scale="stream")


def test_audio_and_times_are_kept(clip: Path, tmp_path: Path) -> None:
    process(clip, tmp_path / "direct.mp4", codec=None, record="auto", end=None)
    streamcam.render(tmp_path / "direct.mp4.streamcam", tmp_path / "again.mp4")
    found = []
    for name in ("direct.mp4", "again.mp4"):
        with av.open(str(tmp_path / name)) as container:
            found.append([(packet.stream.type, packet.pts) for packet in container.demux() if packet.size])
    assert sorted(found[0]) == sorted(found[1])
    assert {kind for kind, _ in found[0]} == {"video", "audio"}


WITHOUT_TENSORFLOW = """
import sys
from streamcam.cli import main
sys.argv = ["streamcam", "render", *sys.argv[1:]]
try:
    main()
finally:
    heavy = {"tensorflow", "keras"} & sys.modules.keys()
    print("heavy:", *heavy)
"""


@pytest.mark.slow
def test_the_command_imports_no_tensorflow(clip: Path, tmp_path: Path) -> None:
    process(clip, tmp_path / "clip.gradcam.mkv", record="auto")
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, "clip.gradcam.mkv.streamcam", "--no-caption", "--json"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False, env={"PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stderr
    report, heavy = done.stdout.splitlines()
    assert heavy == "heavy:"
    assert json.loads(report)["output"] == "clip.gradcam.render.mkv"
    assert len(planes(tmp_path / "clip.gradcam.render.mkv")) == 20


@pytest.fixture(scope="module")
def record(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record whose source may be changed."""
    folder = tmp_path_factory.mktemp("record")
    copy = folder / "clip.mp4"
    copy.write_bytes(clip.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_FRAMES", 7)
        process(copy, folder / "o.mkv", record="auto", end=0.4)
    return folder / "o.mkv.streamcam"


def test_a_source_that_moved_or_changed(record: Path, tmp_path: Path) -> None:
    source = record.parent / "clip.mp4"
    moved = source.rename(tmp_path / "moved.mp4")
    try:
        with pytest.raises(SourceError, match=r"clip\.mp4 cannot be opened; name the recorded file with --source"):
            streamcam.render(record, tmp_path / "x.mkv")
        assert streamcam.render(record, tmp_path / "a.mkv", source=str(moved)).frames_out == 10
        data = bytearray(moved.read_bytes())
        data[-1] ^= 1
        (tmp_path / "changed.mp4").write_bytes(data)
        with pytest.raises(SourceError, match=r"changed\.mp4 is not the file that .* explains, or has changed"):
            streamcam.render(record, tmp_path / "x.mkv", source=str(tmp_path / "changed.mp4"))
        summary = streamcam.render(record, tmp_path / "b.mkv", source=str(moved), target=("top", "TOP", " top"))
        assert summary.targets == ("top",)
    finally:
        moved.rename(source)
    result = cli("render", record, "-o", tmp_path / "x.mkv", "--source", tmp_path / "nope.mp4")
    assert (result.exit_code, "does not exist" in one_line(result.stderr)) == (1, True)
    assert not (tmp_path / "x.mkv").exists()


def change_manifest(record: Path, copy: Path, **changes: Any) -> Path:
    copy.mkdir()
    for one in record.iterdir():
        (copy / one.name).write_bytes(one.read_bytes())
    manifest = json.loads((record / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | changes))
    return copy


def test_a_record_of_a_url_needs_its_source(record: Path, clip: Path, tmp_path: Path) -> None:
    source = {"path": "http://host/clip.mp4", "size": None, "mtime": None, "sha256": None}
    copy = change_manifest(record, tmp_path / "r", source=source)
    with pytest.raises(SourceError, match=r"http://host/clip\.mp4, which is no file; name it with --source"):
        streamcam.render(copy, tmp_path / "x.mkv")
    summary = streamcam.render(copy, tmp_path / "a.mkv", source=str(clip))
    assert any("cannot be compared" in note for note in summary.notes)


def test_frames_that_are_not_the_recorded_ones(record: Path, tmp_path: Path) -> None:
    """As if another version read the file differently: a frame has another time."""
    chunks = json.loads((record / "manifest.json").read_text())["chunks"]
    rows = [json.loads(line) for line in (record / chunks[0]["frames"]).read_text().splitlines()]
    for row in rows[-2:]:
        row["pts"] += 1
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    chunks[0] |= {"frames_bytes": len(text), "frames_sha256": hashlib.sha256(text).hexdigest()}
    copy = change_manifest(record, tmp_path / "r", chunks=chunks)
    (copy / chunks[0]["frames"]).write_bytes(text)
    with pytest.raises(SourceError, match=r"frame 6 of .* has the time stamp \d+; expected frame 6 with \d+, as"):
        streamcam.render(copy, tmp_path / "a.mkv")
    assert len(planes(tmp_path / "a.mkv")) == 6


def test_damage_is_found_before_there_is_an_output(record: Path, tmp_path: Path) -> None:
    manifest = json.loads((record / "manifest.json").read_text())
    chunks = manifest["chunks"]
    damages = {
        r"frames-0001\.jsonl": {"chunks": [chunks[0], chunks[1] | {"num_frames": chunks[1]["num_frames"] + 1}]},
        "its manifest cannot be read": {"job": manifest["job"] | {"draw": {"alpha": "x"}}},
    }
    for number, (expected, changes) in enumerate(damages.items()):
        copy = change_manifest(record, tmp_path / f"r{number}", **changes)
        with pytest.raises(StreamcamError, match=rf"is damaged: {expected}; record it again"):
            streamcam.render(copy, tmp_path / "x.mkv")
    assert not list(tmp_path.glob("*x.mkv*"))


def test_an_incomplete_record_is_drawn_to_its_end(record: Path, tmp_path: Path) -> None:
    manifest = json.loads((record / "manifest.json").read_text())
    copy = change_manifest(record, tmp_path / "r", chunks=manifest["chunks"][:1], complete=False)
    summary = streamcam.render(copy, tmp_path / "a.mkv")
    assert (summary.frames_out, [note for note in summary.notes if "record" in note]) == (
        7,
        ["the record ends after 7 frames"],
    )
    empty = change_manifest(record, tmp_path / "e", chunks=[])
    with pytest.raises(StreamcamError, match="has no frame"):
        streamcam.render(empty, tmp_path / "x.mkv")


def test_errors_are_one_line(record: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--target 'dog' is not recorded; the recorded targets are 'top'"):
        streamcam.render(record, tmp_path / "x.mkv", target="dog")
    with pytest.raises(OptionError, match=r"unknown option 'alpa'; did you mean 'alpha'"):
        streamcam.render(record, tmp_path / "x.mkv", alpa=1)  # type: ignore[call-arg]
    result = cli("render", tmp_path, "-o", tmp_path / "x.mkv")
    assert result.exit_code == 1
    assert "is no record" in one_line(result.stderr)
    result = cli("render", record, "-o", tmp_path / "x.mkv", "--alpha", 2)
    assert result.exit_code == 2
    assert "invalid --alpha 2" in one_line(result.stderr)
    result = cli("render", record, "-o", record.parent / "clip.mp4", "--overwrite")
    assert "is the input itself" in one_line(result.stderr)


@pytest.mark.slow
def test_an_image(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "samples" / "coffee.png"
    process(sample, tmp_path / "direct.png", codec=None, end=None, record="auto")
    streamcam.render(tmp_path / "direct.png.streamcam", tmp_path / "again.png")
    (one,), (other,) = planes(tmp_path / "direct.png"), planes(tmp_path / "again.png")
    assert np.abs(one - other).max() <= 4
