"""Frames that stay on the GPU, end to end, emulated on the CPU; and when they do not stay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import streamcam
from streamcam import gpu
from streamcam.engine.runtime import devices
from streamcam.errors import SourceError
from streamcam.gpu import unavailable_reason
from streamcam.job import Job
from streamcam.notes import collect_notes
from streamcam.pipeline import run
from tests.media_helpers import frame_times, gradient_frame, packets_of, write_clip

pytestmark = pytest.mark.gpu

MODEL = {"model": "tests.pipeline.models:brightness_of_fixed_size", "preprocess": "none", "precision": "float32"}
BOTH = {"decoder": "nvdec", "encoder": "nvenc"}


def read_frames(path: Path) -> list[NDArray[Any]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p").astype(float) for frame in container.decode(video=0)]


def similarity(one: NDArray[Any], other: NDArray[Any]) -> float:
    return 10 * float(np.log10(255**2 / max(((one - other) ** 2).mean(), 1e-9)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": (0, 1), "layout": "side-by-side", "fit": "crop"},
        {"every": 3, "start": 0.4},
        {"method": "saliency"},
    ],
    ids=["plain", "targets", "every", "pixels"],
)
def test_the_output_is_that_of_the_cpu(
    emulated_gpu: None, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    out, other = tmp_path / "gpu.mp4", tmp_path / "cpu.mp4"
    summary = streamcam.process(clip, out, **BOTH, **MODEL, **options)
    monkeypatch.delenv("STREAMCAM_TEST_EMULATE_GPU")
    usual = streamcam.process(clip, other, **MODEL, **options)
    assert (summary.frames_on, usual.frames_on) == ("cpu", "cpu")
    assert (summary.frames_out, summary.frames_explained) == (usual.frames_out, usual.frames_explained)
    assert frame_times(out) == frame_times(other)
    assert packets_of(out, "audio") == packets_of(other, "audio")
    mine, theirs = read_frames(out), read_frames(other)
    assert len(mine) == len(theirs) == usual.frames_out
    assert min(similarity(one, two) for one, two in zip(mine, theirs, strict=True)) > 38


@pytest.mark.parametrize(
    ("made", "stays"),
    [
        ({}, True),
        ({"color": (2, 1, 1, 1)}, True),
        ({"rotation": 90}, False),
        ({"pixel_format": "yuv420p10le"}, False),
        ({"pixel_format": "yuv444p"}, False),
        ({"pixel_format": "yuvj420p"}, True),
        ({"color": (1, 9, 16, 9)}, False),
    ],
)
def test_frames_that_need_conversion_do_not_stay(
    emulated_gpu: None, tmp_path: Path, made: dict[str, Any], stays: bool
) -> None:
    clip = write_clip(tmp_path / "c.mkv", [gradient_frame(160, 96, i) for i in range(6)], **made)
    out = tmp_path / "o.mkv"
    codec = "h264" if stays else "hevc"
    summary = streamcam.process(clip, out, codec=codec, **BOTH, **MODEL)
    assert summary.frames_on == "cpu"
    assert bool([note for note in summary.notes if "do not stay on the GPU: they are" in note]) != stays
    assert summary.frames_out == len(read_frames(out)) == 6


def test_a_size_that_changes_midway_is_mended(emulated_gpu: None, tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{n}.ts", [gradient_frame(*size, i) for i in range(5)], [5 * n + i for i in range(5)])
        for n, size in enumerate([(160, 96), (128, 64)])
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    summary = streamcam.process(both, tmp_path / "o.mp4", **BOTH, **MODEL)
    assert summary.frames_on == "cpu"
    assert any("frames of another size" in note for note in summary.notes)
    assert {one.shape for one in read_frames(tmp_path / "o.mp4")} == {(144, 160)}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"every": "auto"}, "--every auto"),
        ({"every": 2, "interpolation": "flow"}, "--interpolation flow"),
        ({"every": 2, "interpolation": "linear"}, "--interpolation linear"),
        ({"path": "o.png"}, "images are encoded by the CPU"),
        ({"codec": "vp9", "path": "o.webm"}, "NVENC does not encode vp9"),
        ({"device": "cpu"}, "gpu:0"),
        ({"free": "none"}, "no decoder"),
        ({}, "no luck (streamcam doctor runs the self-test again)"),
    ],
)
def test_why_frames_do_not_stay(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], says: str) -> None:
    works = options.pop("free", "") != "none"
    monkeypatch.setattr(gpu, "nvdec_unavailable_reason", lambda: "" if works else "no decoder")
    monkeypatch.setattr(gpu, "nvenc_unavailable_reason", lambda encoder: "")
    monkeypatch.setattr(gpu, "_selftest_result", lambda: "no luck")
    if "device" not in options:
        monkeypatch.setattr(devices, "resolve_devices", lambda option: ("gpu:0",))
    path = options.pop("path", "o.mp4")
    assert says in unavailable_reason(Job.from_options("clip.mp4", path, **BOTH, **options))


def test_what_is_wrong_with_the_input_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "unavailable_reason", lambda job: pytest.fail("ran the self-test first"))
    with pytest.raises(SourceError, match="does not exist"):
        streamcam.process(tmp_path / "nothing.mp4", tmp_path / "o.mp4", **BOTH)


def test_a_self_test_is_announced_and_counted_as_start_up(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(job: Any) -> str:
        gpu.logger.info("trying out")
        time.sleep(0.5)
        return "no luck"

    monkeypatch.setattr(gpu, "unavailable_reason", slow)
    messages: list[str] = []
    job = Job.from_options(str(clip), str(tmp_path / "o.mp4"), **BOTH, **MODEL)
    with collect_notes(messages.append):
        summary = run(job)
    assert messages[0] == "trying out"
    assert any("do not stay on the GPU: no luck" in line for line in messages)
    assert summary.startup_seconds >= 0.5


def test_one_of_the_two_alone_asks_for_nothing(clip: Path, tmp_path: Path) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", decoder="nvdec", **MODEL)
    assert summary.frames_on == "cpu"
    assert not [note for note in summary.notes if "stay" in note]
