"""``process --resume``: the record and the video are those of a run that was not interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import streamcam
from streamcam import chunks, pipeline, prepare, stored_video
from streamcam.concurrency.file_lock import lock_file
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import SinkError, StreamcamError
from streamcam.frames import ExplainedFrame, FrameRange
from streamcam.job import Job
from streamcam.pipeline import Interrupted, RunCallbacks, run
from streamcam.record import MANIFEST
from streamcam.record import folder as folder_module
from streamcam.record import writer as writer_module
from streamcam.sinks.segment_file import pack_segment, unpack_segment
from streamcam.summary import Summary
from tests.cli.runner import cli, one_line
from tests.media_helpers import gradient_frame, planes, write_clip

MODEL: dict[str, Any] = {
    "model": "tests.pipeline.models:brightness",
    "preprocess": "none",
    "precision": "float32",
    "target": ("top", "1"),
}
CHUNK = 8


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", CHUNK)
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", CHUNK)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames that change, with sound; keyframes where chunks do not begin too."""
    frames = []
    for number in range(60):
        frame = gradient_frame(96, 64, number)
        luma = planes(frame)[0]
        luma[:] = np.clip(luma + 60 * np.sin(number / 5) + 40 * (number // 20), 0, 255)
        frames.append(frame)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, frames, gop=12, audio=True, options={"x264-params": "bframes=2:scenecut=0"})


@cache
def explainer(method: str) -> FrameExplainer:
    job = Job.from_options("any.mp4", "any.mp4", **MODEL, method=method)
    return load_explainer(job.model, job.explain)


class Killed(BaseException):
    """Stands for the end of the process: nothing is cleaned up."""


def process(clip: Path, out: Path, *, on_frame: Callable[[Any], None] = lambda item: None, **options: Any) -> Summary:
    job = Job.from_options(clip, out, **MODEL | {"method": "gradcam"} | options)
    loaded = explainer(job.explain.method).with_options(target=job.explain.target)
    return run(job, explainer=loaded, callbacks=RunCallbacks(on_frame=on_frame))


def kill(clip: Path, out: Path, after: int = 1000, *, segments: int = 1000, **options: Any) -> None:
    """Run until a number of files is written, and leave the disk as it is then.

    ``after``: files of maps, tables and manifests; ``segments``: of encoded video.
    """
    killed = threading.Event()
    limits = {True: segments, False: after}
    recorded = threading.Semaphore(0)

    def write(self: folder_module.RecordFolder, name: str, data: bytes) -> None:
        is_segment = name.startswith("segment")
        if killed.is_set():
            return
        if limits[is_segment] == 0:
            # The thread that writes the record may be behind: as many chunks are there as segments.
            assert not is_segment or all(recorded.acquire(timeout=60) for _ in range(segments))
            killed.set()
            raise Killed
        limits[is_segment] -= 1
        original(self, name, data)
        if name == MANIFEST:
            recorded.release()

    original = folder_module.RecordFolder.write
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(folder_module.RecordFolder, "write", write)
        patch.setattr(folder_module.RecordFolder, "remove", lambda self, name: None)
        patch.setattr(Path, "rmdir", lambda self: None)
        process(clip, out, **options)


def contents(record: Path) -> dict[str, bytes]:
    files = {one.name: one.read_bytes() for one in sorted(record.iterdir())}
    if MANIFEST in files:
        values = json.loads(files[MANIFEST])
        values.pop("output_file", None)  # a container may have a random identifier
        files[MANIFEST] = json.dumps(values).encode()
    return files


def streams(path: Path) -> dict[str, list[tuple[int | None, str]]]:
    """Time and hash of each frame of the video, and of each packet of the sound."""
    with av.open(str(path)) as container:
        video = [
            (frame.pts, hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()) for frame in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        audio = container.streams.audio
        sound = [
            (packet.pts, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in (container.demux(audio) if audio else ())
            if packet.size
        ]
    return {"video": video, "sound": sound}


def move(out: Path, to: Path) -> Path:
    record_of(out).rename(record_of(to))
    return out.rename(to)


def check_same(one: Path, other: Path) -> None:
    assert contents(record_of(one)) == contents(record_of(other))
    assert streams(one) == streams(other)


def record_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.streamcam")


CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "every, hold": {"every": 3},
    "every, linear": {"every": 4, "interpolation": "linear"},
    "every auto, flow": {"every": "auto", "change_threshold": 0.02, "interpolation": "flow"},
    "pixels": {"method": "saliency"},
    "signed, linear": {"method": "gradient-x-input", "every": 3, "interpolation": "linear"},
    "scale of the stream": {"scale": "stream", "every": 2},
    "a window": {"start": 0.3, "end": 2},
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if CASES[case].get("method") else []) for case in CASES],
)
def test_a_resumed_run_is_one_run(clip: Path, tmp_path: Path, case: str) -> None:
    options, out = CASES[case], tmp_path / "o.mkv"
    summary = process(clip, out, record="auto", **options)
    expected = move(out, tmp_path / "expected.mkv")
    kill(clip, out, 3 * 3 + 1, record="auto", **options)  # three chunks, and a file of the fourth
    assert len(streamcam.open_record(record_of(out))) == 24
    again = process(clip, out, resume=True, **options)
    check_same(out, expected)
    same = ("frames_in", "frames_out", "frames_explained", "frames_held", "frames_zero_map", "record")
    assert {name: getattr(again, name) for name in same} == {name: getattr(summary, name) for name in same}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("o.mp4", "default"),
        ("o.mkv", "every, linear"),
        pytest.param("o.mkv", "every auto, flow", marks=pytest.mark.slow),
        pytest.param("o.mkv", "pixels", marks=pytest.mark.slow),
        ("o.mp4", "a window"),
    ],
)
def test_stored_video_is_not_made_again(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, name: str
) -> None:
    options, out = CASES[case], tmp_path / name
    summary = process(clip, out, record="auto", **options)
    expected = move(out, tmp_path / f"expected{out.suffix}")
    kill(clip, out, segments=2, record="auto", **options)
    stored = sorted(record_of(out).glob("segment-*"))
    assert [one.name for one in stored] == ["segment-0000.bin", "segment-0001.bin"]
    opened: list[int] = []
    open_chunk = stored_video.open_chunk

    def spy(source: Any, frame_range: FrameRange, *arguments: Any, **named: Any) -> Any:
        opened.append(frame_range.first_index)
        return open_chunk(source, frame_range, *arguments, **named)

    monkeypatch.setattr(stored_video, "open_chunk", spy)
    again = process(clip, out, resume=True, **options)
    num_stored = 2 * CHUNK
    assert again.fps == pytest.approx((again.frames_out - num_stored) / again.wall_seconds, rel=0.02)
    assert opened == [streamcam.open_record(record_of(out)).chunks[2].entry.first_index]
    check_same(out, expected)
    same = ("frames_in", "frames_out", "frames_explained", "frames_held", "frames_zero_map")
    assert {one: getattr(again, one) for one in same} == {one: getattr(summary, one) for one in same}


@pytest.mark.parametrize("number", [0, 1, 8])
def test_damaged_video_is_made_again(clip: Path, tmp_path: Path, expected: Path, number: int) -> None:
    out = tmp_path / "o.mkv"
    kill(clip, out, 24 + 1, record="auto")  # the record and all segments are complete, the output is not
    path = record_of(out) / f"segment-{number:04d}.bin"
    assert len(list(record_of(out).glob("segment-*"))) == 8
    if path.exists():
        path.write_bytes(path.read_bytes()[:-1])
    check_resumed(clip, out, expected, 60)


@pytest.mark.parametrize("change", [{"extradata": b"other"}, {"encoder": "mpeg4"}, {"frame_size": (32, 32)}])
def test_video_with_other_settings_is_made_again(
    clip: Path, tmp_path: Path, expected: Path, change: dict[str, Any]
) -> None:
    """Another version of the encoder, for instance."""
    out = tmp_path / "o.mkv"
    kill(clip, out, segments=3, record="auto")
    for path in record_of(out).glob("segment-*"):
        segment, facts = unpack_segment(path.read_bytes())
        path.write_bytes(pack_segment(replace(segment, **change), facts))
    process(clip, out, resume=True)
    assert streams(out) == streams(expected)
    assert contents(record_of(out)).keys() == contents(record_of(expected)).keys()


def test_another_suffix_is_encoded_again(clip: Path, tmp_path: Path) -> None:
    """And then that output is the one that was begun."""
    first, second = tmp_path / "o.mkv", tmp_path / "o.mp4"
    record = str(record_of(first))
    kill(clip, first, segments=3, record=record)
    process(clip, second, record=record, resume=True)
    assert len(streams(second)["video"]) == 60
    assert json.loads((record_of(first) / MANIFEST).read_text())["job"]["sink"]["path"] == str(second)


@pytest.fixture(scope="module")
def expected(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output ``o.mkv`` of a run that was not interrupted."""
    out = tmp_path_factory.mktemp("expected") / "o.mkv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_FRAMES", CHUNK)
        process(clip, out, record="auto")
    return out


def check_resumed(clip: Path, out: Path, expected: Path, num_kept: int, **options: Any) -> None:
    """Resume, count the frames that the model explains again, and compare."""
    explained: list[int] = []
    add = writer_module.RecordWriter.add

    def count(self: writer_module.RecordWriter, item: ExplainedFrame) -> ExplainedFrame:
        explained.append(item.frame.index)
        return add(self, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module.RecordWriter, "add", count)
        process(clip, out, resume=True, **options)
    assert explained == list(range(num_kept, 60))
    manifests = [json.loads((record_of(one) / "manifest.json").read_text()) for one in (out, expected)]
    for manifest in manifests:
        del manifest["job"]["sink"]["path"], manifest["output_file"]
    assert manifests[0] == manifests[1]
    files = [contents(record_of(one)) for one in (out, expected)]
    assert {**files[0], "manifest.json": b""} == {**files[1], "manifest.json": b""}
    assert streams(out) == streams(expected)


@pytest.mark.parametrize("after", [0, 1, 2, 4, 6, 11, 17, 20, 23, 24, 25])
def test_killed_at_any_file(clip: Path, tmp_path: Path, expected: Path, after: int) -> None:
    """Three files a chunk, eight chunks, then the end of the record and of the output."""
    kill(clip, tmp_path / "o.mkv", after, record="auto")
    check_resumed(clip, tmp_path / "o.mkv", expected, min(60, after // 3 * CHUNK))


def test_a_crashed_input_of_several_is_continued(clip: Path, tmp_path: Path, expected: Path) -> None:
    kill(clip, tmp_path / "o.mkv", 6, record="auto")
    # The second process of several inputs may replace what the first one has written.
    check_resumed(clip, tmp_path / "o.mkv", expected, 2 * CHUNK, overwrite=True)


def test_ctrl_c_may_cut_a_chunk(clip: Path, tmp_path: Path, expected: Path) -> None:
    """The frames of an unfinished chunk are readable, and made again."""

    def stop(item: ExplainedFrame) -> None:
        if item.frame.index == 20:
            raise KeyboardInterrupt

    out = tmp_path / "o.mkv"
    with pytest.raises(Interrupted):
        process(clip, out, record="auto", on_frame=stop)
    num_frames = len(streamcam.open_record(record_of(out)))
    assert num_frames > 20
    check_resumed(clip, out, expected, num_frames // CHUNK * CHUNK if num_frames < 60 else 60)


def test_a_source_without_a_plan(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its chunks may begin with a frame that is not explained, and all frames are decoded again."""
    monkeypatch.setattr(prepare, "plan_run", lambda *_: None)
    out = tmp_path / "o.mkv"
    for options in ({"every": 3}, {"every": "auto", "change_threshold": 0.02, "interpolation": "flow"}):
        process(clip, out, record="auto", **options)
        whole = move(out, tmp_path / f"{options['every']}.mkv")
        kill(clip, out, 3 * 2 + 1, record="auto", **options)
        process(clip, out, resume=True, **options)
        check_same(out, whole)
        shutil.rmtree(record_of(out))
        out.unlink()


@pytest.mark.parametrize("name", ["o.gif", "o.mp4"])
def test_other_outputs(clip: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    process(clip, out, record="auto", end=1)
    expected = move(out, tmp_path / f"expected{out.suffix}")
    kill(clip, out, 4, record="auto", end=1)
    process(clip, out, resume=True, end=1)
    check_same(out, expected)


def test_nothing_to_do(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o.mkv"
    process(clip, out, resume=True, end=1)  # the first time: from the beginning
    before = (out.read_bytes(), contents(record_of(out)))
    monkeypatch.setattr(pipeline, "prepare", lambda *_, **__: pytest.fail("the model was prepared"))
    summary = process(clip, out, resume=True, end=1)
    assert (summary.frames_out, summary.frames_explained, summary.notes) == (
        25,
        25,
        (f"{out} is complete: nothing to do",),
    )
    assert (out.read_bytes(), contents(record_of(out))) == before
    monkeypatch.undo()
    out.unlink()  # the record is complete, the output is not there
    process(clip, out, resume=True, end=1)
    assert (out.exists(), contents(record_of(out))) == (True, before[1])


@pytest.fixture(scope="module")
def finished(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "o.mkv"
    process(clip, out, record="auto", end=0.4)
    return out


@pytest.mark.parametrize("num_bytes", [0, 100, 6000])
def test_a_truncated_output_is_written_again(clip: Path, tmp_path: Path, finished: Path, num_bytes: int) -> None:
    shutil.copytree(finished.parent, tmp_path / "run")
    out = tmp_path / "run" / "o.mkv"
    out.write_bytes(out.read_bytes()[:num_bytes])
    process(clip, out, resume=True, end=0.4)
    assert streams(out) == streams(finished)
    assert contents(record_of(out)) == contents(record_of(finished))


@pytest.mark.parametrize("size", [5000, 10**6])
def test_a_foreign_output_is_not_complete(clip: Path, tmp_path: Path, finished: Path, size: int) -> None:
    shutil.copytree(finished.parent, tmp_path / "run")
    out = tmp_path / "run" / "o.mkv"
    out.write_bytes(bytes(size))
    with pytest.raises(SinkError, match=r"o\.mkv is not the output of .*o\.mkv\.streamcam; use --overwrite"):
        process(clip, out, resume=True, end=0.4)
    assert out.read_bytes() == bytes(size)


def test_the_output_is_durable_before_it_is_complete(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, synced = tmp_path / "o.mkv", list[tuple[int, bool]]()
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        manifest = record_of(out) / MANIFEST
        is_complete = manifest.exists() and json.loads(manifest.read_text())["output"] is not None
        synced.append((os.fstat(descriptor).st_ino, is_complete))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    process(clip, out, record="auto", end=0.2)
    assert {(out.stat().st_ino, False), (tmp_path.stat().st_ino, False)} <= {*synced}
    synced.clear()
    process(clip, tmp_path / "other.mkv", end=0.2)
    assert not synced  # a run without a record does not wait for the disk


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink])
@pytest.mark.parametrize(("name", "num_kept"), [("maps-0001.npy", 8), ("frames-0002.jsonl", 16), ("maps-0000.npy", 0)])
def test_a_damaged_chunk_is_recorded_again(
    clip: Path, tmp_path: Path, expected: Path, damage: Callable[[Path], None], name: str, num_kept: int
) -> None:
    """With all that come after it; also if the run was complete."""
    shutil.copytree(expected.parent, tmp_path / "run")
    out = tmp_path / "run" / "o.mkv"
    damage(record_of(out) / name)
    check_resumed(clip, out, expected, num_kept)


def test_options_that_change_no_frame(clip: Path, tmp_path: Path, expected: Path) -> None:
    shutil.copytree(expected.parent, tmp_path / "run")
    out = tmp_path / "run" / "o.mkv"
    (record_of(out) / "maps-0007.npy").unlink()
    process(clip, out, resume=True, batch=4, max_pixels=10**9)
    assert streams(out) == streams(expected)


@pytest.fixture(scope="module")
def killed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a killed run of ``clip.mp4`` beside it, with two chunks."""
    folder = tmp_path_factory.mktemp("killed")
    shutil.copy(clip, folder / "clip.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_FRAMES", CHUNK)
        kill(folder / "clip.mp4", folder / "o.mkv", 6, record="auto")
    return folder / "o.mkv"


def change_source(out: Path) -> None:
    path = out.with_name("clip.mp4")
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def change_manifest(out: Path, **changes: Any) -> None:
    path = record_of(out) / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({name: one for name, one in (values | changes).items() if one != "absent"}))


def change_model(out: Path) -> None:
    values = json.loads((record_of(out) / "manifest.json").read_text())["model"]
    change_manifest(out, model=values | {"sha256": "0" * 64})


REFUSALS: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "source": (change_source, {}, r"clip\.mp4 has changed since, or is another file; --resume needs the source of"),
    "option": (lambda out: None, {"alpha": 0.25}, r"cannot be continued: --alpha was 0\.6, and is 0\.25; use the same"),
    "window": (lambda out: None, {"end": 2}, r"cannot be continued: --end was not set, and is 2; use the same options"),
    "targets": (lambda out: None, {"target": "1"}, r"--target was top, 1, and is 1; use the same options"),
    "method": (lambda out: None, {"method": "saliency"}, r"--method was gradcam, and is saliency"),
    "model": (change_model, {}, r"the files of the model tests\.pipeline\.models:brightness have changed"),
    "version": (lambda out: change_manifest(out, version=2), {}, r"has format version 2; expected 1; use the version"),
    "older layout": (lambda out: change_manifest(out, plan="absent"), {}, r"format version 0 \(an older layout\)"),
    "damage": (lambda out: change_manifest(out, chunks=7), {}, r"is damaged: its manifest cannot be read"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_another_run_is_one_line(killed: Path, tmp_path: Path, case: str) -> None:
    change, options, expected = REFUSALS[case]
    shutil.copytree(killed.parent, tmp_path / "run")
    out = tmp_path / "run" / "o.mkv"
    change(out)
    before = (out.read_bytes(), contents(record_of(out)))
    with pytest.raises(StreamcamError, match=expected) as caught:
        process(out.with_name("clip.mp4"), out, resume=True, **options)
    assert "\n" not in str(caught.value)
    assert (out.read_bytes(), contents(record_of(out))) == before  # nothing is lost


def test_a_full_disk_while_resuming(killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(killed.parent, tmp_path / "run")
    out = tmp_path / "run" / "o.mkv"
    write = folder_module.RecordFolder.write

    def fill(self: folder_module.RecordFolder, name: str, data: bytes) -> None:
        if name == "frames-0003.jsonl":
            raise OSError(28, "No space left on device")
        write(self, name, data)

    with monkeypatch.context() as patch, pytest.raises(SinkError, match=r"no space left .*; its first 24 frames are"):
        patch.setattr(folder_module.RecordFolder, "write", fill)
        process(out.with_name("clip.mp4"), out, resume=True)
    assert len(list(streamcam.open_record(record_of(out)))) == 24
    process(out.with_name("clip.mp4"), out, resume=True)
    assert streamcam.open_record(record_of(out)).complete


def test_other_outputs_are_not_replaced(killed: Path, tmp_path: Path) -> None:
    """Only the output of the recorded run is written over."""
    shutil.copytree(killed.parent, tmp_path / "run")
    source, record = tmp_path / "run" / "clip.mp4", tmp_path / "run" / "o.mkv.streamcam"
    other = tmp_path / "run" / "precious.mkv"
    other.write_bytes(b"mine")
    with pytest.raises(SinkError, match=r"precious\.mkv exists already; use --overwrite"):
        process(source, other, resume=True, record=str(record))
    assert other.read_bytes() == b"mine"


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_file_of_the_same_name_is_not_replaced(killed: Path, tmp_path: Path, is_moved: bool) -> None:
    """The name is not enough: the file is that of the run, or both were moved together."""
    shutil.copytree(killed.parent, tmp_path / "run")
    (tmp_path / "other").mkdir()
    other, record = tmp_path / "other" / "o.mkv", tmp_path / "run" / "o.mkv.streamcam"
    other.write_bytes(b"mine")
    if is_moved:
        record = record.rename(tmp_path / "other" / "o.mkv.streamcam")
        process(killed.with_name("clip.mp4"), other, resume=True, record=str(record))
        assert len(streams(other)["video"]) == 60
        return
    before = contents(record)
    with pytest.raises(SinkError, match=r"o\.mkv exists already; use --overwrite"):
        process(killed.with_name("clip.mp4"), other, resume=True, record=str(record))
    assert (other.read_bytes(), contents(record)) == (b"mine", before)


def test_two_runs_do_not_resume_one_record(killed: Path) -> None:
    folder = folder_module.RecordFolder(record_of(killed), overwrite=False, resume=True)
    folder.lock()
    try:
        with pytest.raises(SinkError, match="is being written by another run"):
            process(killed.with_name("clip.mp4"), killed, resume=True)
    finally:
        folder.close()


def test_a_killed_temporary_record_is_removed(clip: Path, tmp_path: Path) -> None:
    """``--scale stream`` without ``--record``: the next run of the same output removes it, unless it is in use."""
    for name in ("o.mkv-killed", "other.mkv-killed", "o.mkv-busy"):
        (tmp_path / f".streamcam-{name}" / "record").mkdir(parents=True)
    descriptor = os.open(tmp_path / ".streamcam-o.mkv-busy", os.O_RDONLY)
    lock_file(descriptor, tmp_path)
    process(clip, tmp_path / "o.mkv", scale="stream", end=0.4)
    os.close(descriptor)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        ".streamcam-o.mkv-busy",
        ".streamcam-other.mkv-killed",
        "o.mkv",
    ]


def test_the_command(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mkv"
    model = ["--model", MODEL["model"], "--preprocess", "none", "--precision", "float32", "--target", "1", "--end", 1]
    for expected in (f"{record_of(out)} holds no run to continue", f"{out} is complete: nothing to do"):
        result = cli("process", clip, "-o", out, "--resume", *model)
        assert (result.exit_code, expected in result.stderr) == (0, True), result.stderr
        assert (" fps" in result.stderr) == ("nothing to do" not in result.stderr), result.stderr
    result = cli("process", clip, "-o", out, "--resume", *model, "--alpha", 0.25)
    assert result.exit_code == 1
    assert "--alpha was 0.6, and is 0.25; use the same options" in one_line(result.stderr)
