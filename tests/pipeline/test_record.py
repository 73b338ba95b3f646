"""``process --record``: the record holds what the run explained, and costs it nothing else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam import chunks
from streamcam.cli.options import fill_bare_options
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import OptionError, SinkError
from streamcam.frames import ExplainedFrame
from streamcam.job import Job
from streamcam.pipeline import Interrupted, RunCallbacks, run
from streamcam.record import SourceIdentity, folder
from streamcam.record import writer as writer_module

SMALL: dict[str, Any] = {
    "model": "tests.pipeline.models:brightness",
    "preprocess": "none",
    "target": "1",
    "precision": "float32",
}


@cache
def small_explainer() -> FrameExplainer:
    job = Job.from_options("any.mp4", "any.mp4", **SMALL)
    return load_explainer(job.model, job.explain)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 8)
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", 8)


def record_clip(clip: Path, out: Path, **options: Any) -> list[ExplainedFrame]:
    items: list[ExplainedFrame] = []
    job = Job.from_options(clip, out, **SMALL, **{"record": "auto"} | options)
    summary = run(job, explainer=small_explainer(), callbacks=RunCallbacks(on_frame=items.append))
    assert summary.as_dict()["record"] == str(job.sink.record_path)
    return items


@pytest.mark.parametrize("every", [1, 3])
def test_the_record_is_the_run(clip: Path, tmp_path: Path, every: int) -> None:
    items = record_clip(clip, tmp_path / "o.mp4", every=every)
    record = streamcam.open_record(tmp_path / "o.mp4.streamcam")
    assert record.complete
    assert len(record) == len(items) == 50
    for frame, item in zip(record, items, strict=True):
        assert (frame.index, frame.pts, frame.held, frame.top) == (
            item.frame.index, item.frame.pts, item.held, item.top,
        )  # fmt: skip
        (one,), (other,) = frame.attributions, item.attributions
        assert (one.label, one.class_index, one.score, one.probability) == (
            other.label, other.class_index, other.score, other.probability,
        )  # fmt: skip
        np.testing.assert_allclose(one.heatmap, other.heatmap, rtol=2**-11, atol=1e-6)
    # Each chunk begins with an explained frame.
    assert [chunk.entry.first_index % every for chunk in record.chunks] == [0] * len(record.chunks)
    assert sum(chunk.entry.num_maps for chunk in record.chunks) == sum(not one.held for one in items)


def test_the_manifest_says_how(clip: Path, tmp_path: Path) -> None:
    record_clip(clip, tmp_path / "o.mp4", end=0.4, alpha=0.25)
    manifest = json.loads((tmp_path / "o.mp4.streamcam" / "manifest.json").read_text())
    assert SourceIdentity(**manifest["source"]) == SourceIdentity.of(str(clip))
    assert manifest["model"]["name"] == SMALL["model"]
    assert (manifest["method"], manifest["layer"]) == ("gradcam", "evidence")
    assert (manifest["job"]["draw"]["alpha"], manifest["job"]["source"]["end"]) == (0.25, "2/5")
    assert manifest["geometry"]["source"] == [160, 96]
    assert {"streamcam", "numpy", "tensorflow", "python"} <= manifest["versions"].keys()


def test_functions_of_a_job_are_named(tmp_path: Path) -> None:
    from streamcam.job import describe_options

    job = Job.from_options("http://a:secret@host/c.mp4?key=secret", "o.mp4", method=len, extra_input={"a": object()})
    text = json.dumps(describe_options(job))
    assert "secret" not in text
    assert "builtins:len" in text
    assert "builtins:object" in text


def test_ctrl_c_keeps_whole_chunks(clip: Path, tmp_path: Path) -> None:
    def stop(item: ExplainedFrame) -> None:
        if item.frame.index == 20:
            raise KeyboardInterrupt

    job = Job.from_options(clip, tmp_path / "o.mp4", **SMALL, record="auto")
    with pytest.raises(Interrupted) as caught:
        run(job, explainer=small_explainer(), callbacks=RunCallbacks(on_frame=stop))
    record = streamcam.open_record(tmp_path / "o.mp4.streamcam")
    assert 20 < caught.value.summary.frames_out <= len(record) == len(list(record))


def test_a_full_disk_ends_the_run_with_what_is_there(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = folder.RecordFolder.write

    def write_until_full(self: folder.RecordFolder, name: str, data: bytes) -> None:
        written.extend([name] * (not name.startswith("segment")))  # encoded video comes when it comes
        if len(written) > 7:
            raise OSError(28, "No space left on device")
        write(self, name, data)

    monkeypatch.setattr(folder.RecordFolder, "write", write_until_full)
    job = Job.from_options(clip, tmp_path / "o.mp4", **SMALL, record="auto")
    with pytest.raises(SinkError, match=r"no space left for .*o\.mp4\.streamcam; its first 16 frames are kept"):
        run(job, explainer=small_explainer())
    assert len(list(streamcam.open_record(tmp_path / "o.mp4.streamcam"))) == 16


def test_cheap_checks_come_before_the_model(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamcam import prepare

    monkeypatch.setattr(prepare, "load_explainer", lambda *_, **__: pytest.fail("the model was loaded"))
    (tmp_path / "o.mp4.streamcam").mkdir()
    with pytest.raises(SinkError, match="exists already; use --overwrite"):
        run(Job.from_options(clip, tmp_path / "o.mp4", **SMALL, record="auto"))
    assert not (tmp_path / "o.mp4").exists()
    with pytest.raises(OptionError, match="--record is empty"):
        Job.from_options(clip, tmp_path / "o.mp4", record="")
    with pytest.raises(OptionError, match="is the output itself"):
        Job.from_options(clip, tmp_path / "o.mp4", record=str(tmp_path / "o.mp4"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["in.mp4", "--record"], ["in.mp4", "--record=auto"]),
        (["--record", "in.mp4"], ["--record=auto", "in.mp4"]),  # an input is no folder of a record
        (["--record", "clips", "x"], ["--record=auto", "clips", "x"]),
        (["--record", "http://h/a.mp4"], ["--record=auto", "http://h/a.mp4"]),
        (["--record", "*.mp4"], ["--record=auto", "*.mp4"]),
        (["--record", "-o", "x.mp4", "in.mp4"], ["--record=auto", "-o", "x.mp4", "in.mp4"]),
        (["--record", "--", "new"], ["--record=auto", "--", "new"]),
        (["in.mp4", "--record", "new"], ["in.mp4", "--record", "new"]),
        (["in.mp4", "--record", "old"], ["in.mp4", "--record", "old"]),  # an earlier record
        (["in.mp4", "--record=in.mp4"], ["in.mp4", "--record=in.mp4"]),
        (["in.mp4", "--", "--record"], ["in.mp4", "--", "--record"]),
    ],
)
def test_an_option_that_may_stand_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.mp4").touch()
    for name in ("clips/a.mp4", "old/manifest.json"):
        Path(name).parent.mkdir()
        Path(name).touch()
    assert fill_bare_options(arguments, {"--record": "auto"}) == expected


@pytest.mark.parametrize("name", ["cockatooo.mp4", "none/coffee.PNG", "x" * 300 + ".mp4"])
def test_a_mistyped_input_is_no_folder_of_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from tests.cli.runner import cli

    monkeypatch.chdir(tmp_path)
    Path("in.mp4").touch()
    with pytest.raises(OptionError, match=f"--record is followed by {name}, which does not exist; correct"):
        fill_bare_options(["--record", name, "in.mp4"], {"--record": "auto"})
    result = cli("process", "--record", name, "in.mp4", "-o", "x.mp4")
    assert (result.exit_code, [one.name for one in tmp_path.iterdir()]) == (2, ["in.mp4"])
    assert "--record is followed by" in result.stderr
    explicit = [f"--record={name}", "in.mp4"]
    assert fill_bare_options(explicit, {"--record": "auto"}) == explicit


def test_a_file_is_no_folder_of_records(tmp_path: Path) -> None:
    from tests.cli.runner import cli, one_line

    for name in ("a.mp4", "b.mp4", "file"):
        (tmp_path / name).touch()
    inputs = ["process", tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", f"{tmp_path}/out/"]
    for folder_name in ("file", "file/records"):
        result = cli(*inputs, f"--record={tmp_path / folder_name}")
        assert result.exit_code == 1
        assert f"{tmp_path / 'file'} is a file; expected a folder; choose another name" in one_line(result.stderr)


@pytest.mark.slow
def test_several_inputs_get_a_record_each(tmp_path: Path) -> None:
    from tests.cli.runner import cli

    samples = Path(__file__).parents[2] / "samples"
    (tmp_path / "images").mkdir()
    for name in ("coffee.png", "chelsea.png"):
        (tmp_path / "images" / name).write_bytes((samples / name).read_bytes())
    model = ["--model", SMALL["model"], "--preprocess", "none", "--precision", "float32"]
    result = cli(
        "process", tmp_path / "images", "-o", f"{tmp_path}/out/", "--record", tmp_path / "records", *model, "--json"
    )
    assert result.exit_code == 0, result.output
    assert f"; record: {tmp_path}/records/coffee.gradcam.png.streamcam\n" in result.stderr
    for one in json.loads(result.stdout)["results"]:
        assert one["record"] == f"{tmp_path}/records/{Path(one['output']).name}.streamcam"
        assert len(streamcam.open_record(one["record"])) == 1
