"""Frames that stay on the GPU, end to end, emulated on the CPU; and when they do not stay."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import streamcam
from streamcam import gpu
from streamcam.engine.runtime import devices
from streamcam.errors import DeviceError, OutOfMemoryError, SinkError, SourceError
from streamcam.frames import SourceInfo
from streamcam.gpu import selftest as check
from streamcam.gpu import unavailable_reason
from streamcam.gpu.__main__ import main
from streamcam.job import Job
from streamcam.media import cuda
from streamcam.notes import collect_notes
from streamcam.options import SinkOptions, SourceOptions
from streamcam.pipeline import run
from streamcam.sinks import codecs, open_sink, video
from streamcam.sources import container as opening
from streamcam.sources import normalize as upright
from tests.media_helpers import frame_times, gradient_frame, packets_of, write_clip

from .conftest import as_nv12

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


def test_the_self_test_passes_with_the_cpu_as_gpu(emulated_gpu: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("broken", "says"),
    [("scaler", "scaled differently"), ("renderer", "only .* dB like"), ("taker", "scaled differently")],
)
def test_the_trial_finds_what_is_wrong(
    emulated_gpu: None, monkeypatch: pytest.MonkeyPatch, broken: str, says: str
) -> None:
    if broken == "scaler":
        monkeypatch.setattr(check, "GpuResizer", lambda *_: lambda frame: np.zeros((224, 224, 3), np.uint8))
    elif broken == "renderer":
        renderer = check.GpuRenderer

        class Late(renderer):
            def draw(self, item: Any) -> Any:
                before = getattr(self, "before", item)
                self.before = item
                return super().draw(before)

        monkeypatch.setattr(check, "GpuRenderer", Late)
    else:
        # A decoder that overwrites a frame before it was copied.
        monkeypatch.setattr(check, "SurfaceCopier", lambda device: lambda frames: [list(frames)[-1]] * 60)
    with pytest.raises(DeviceError, match=says):
        check.check("cpu")


def test_a_trial_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def python(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return str(path)

    for script, expected in (
        ("exit 0", ("", True)),
        ("echo one; echo two; exit 1", ("two", True)),
        ("echo busy; exit 3", ("busy", False)),
        ("kill -ABRT $$", ("the self-test exited with -6", True)),
    ):
        monkeypatch.setattr(check.sys, "executable", python(script))
        assert check.run_selftest() == expected
    monkeypatch.setattr(check.sys, "executable", str(tmp_path / "nothing"))
    reason, is_lasting = check.run_selftest()
    assert "the self-test failed" in reason
    assert not is_lasting


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeviceError("frame 3 differs"), 1),
        (OutOfMemoryError("full"), 3),
        (SinkError("no encoder is free"), 3),
        (ValueError("odd"), 3),
    ],
)
def test_a_trial_prints_what_is_wrong(
    emulated_gpu: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def fails(device: str) -> None:
        raise error

    monkeypatch.setattr("streamcam.gpu.__main__.check", fails)
    assert main() == code
    assert capsys.readouterr().out == f"{error}\n"


def test_a_trial_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[tuple[str, bool]] = []

    def run_trial() -> tuple[str, bool]:
        made.append(outcome)
        return outcome

    def ask(*, in_new_process: bool = True, **how: bool) -> str:
        if in_new_process:
            monkeypatch.setattr(gpu, "_results", {})
        return gpu._selftest_result(**how)

    monkeypatch.setenv("STREAMCAM_CACHE", str(tmp_path))
    monkeypatch.setattr(check, "run_selftest", run_trial)
    outcome = ("busy", False)
    assert [ask(), ask(in_new_process=False), ask()] == ["busy"] * 3
    assert len(made) == 2
    outcome = ("no luck", True)
    assert [ask(), ask()] == ["no luck"] * 2
    assert len(made) == 3
    outcome = ("", True)
    assert [ask(), ask(rerun=True), ask()] == ["no luck", "", ""]
    assert len(made) == 4
    monkeypatch.setattr(check, "driver_version", lambda: "another")
    outcome = ("changed", True)
    assert ask() == "changed"
    monkeypatch.setenv("STREAMCAM_CACHE", "off")
    assert [ask(), ask(in_new_process=False)] == ["changed"] * 2
    assert len(made) == 6


class Driver:
    """Record calls of the CUDA driver, and answer them."""

    def __init__(self, **status: int) -> None:
        self.status, self.called = status, []

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any) -> int:
            self.called.append(name)
            return self.status.get(name, 0)

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Driver()
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: made)
    forget()
    yield made
    forget()


def forget() -> None:
    cuda._primary_context.cache_clear()
    cuda._driver.cache_clear()


def test_the_primary_context_is_current_while_ffmpeg_looks(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    open_options = {}

    def fake_open(path: str, **options: Any) -> str:
        driver.called.append("open")
        open_options.update(options)
        return "container"

    monkeypatch.setattr(opening.av, "open", fake_open)
    source = SourceOptions(url=__file__)
    assert opening.open_container(source, use_nvdec=True, keep_on_gpu=True) == "container"
    assert driver.called == [
        *("cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2", "open", "cuCtxPopCurrent_v2")
    ]
    accelerator = open_options["hwaccel"]
    assert (accelerator.is_hw_owned, accelerator.options) == (True, {"primary_ctx": "0", "current_ctx": "1"})
    driver.called.clear()
    opening.open_container(source, use_nvdec=True)
    assert driver.called == ["open"]
    assert not open_options["hwaccel"].is_hw_owned
    opening.open_container(source)
    assert open_options["hwaccel"] is None


def test_the_context_is_left_also_after_an_error(driver: Driver) -> None:
    with pytest.raises(ZeroDivisionError), cuda.context():
        raise ZeroDivisionError
    assert driver.called[-1] == "cuCtxPopCurrent_v2"
    driver.called.clear()
    cuda.synchronize()
    assert driver.called == ["cuCtxPushCurrent_v2", "cuStreamSynchronize", "cuCtxPopCurrent_v2"]
    driver.status["cuStreamSynchronize"] = 700
    with pytest.raises(DeviceError, match="cuStreamSynchronize returned 700"):
        cuda.synchronize()
    assert driver.called[-1] == "cuCtxPopCurrent_v2"


def test_without_a_driver_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError

    monkeypatch.setattr(cuda.ctypes, "CDLL", missing)
    forget()
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        cuda.synchronize()
    assert cuda.driver_version(Path("nothing")) == ""


def test_the_version_is_asked_for_without_a_context(driver: Driver, tmp_path: Path) -> None:
    version_file = tmp_path / "version"
    version_file.write_text("NVRM version: 570.1")
    assert cuda.driver_version(version_file) == "NVRM version: 570.1"
    cuda.driver_version(Path("nothing"))
    assert driver.called == ["cuInit", "cuDriverGetVersion"]


@pytest.mark.parametrize("by_gpu", [True, False])
def test_an_encoder_on_a_gpu_opens_with_its_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_gpu: bool
) -> None:
    """With NV12 in place of frames in GPU memory: what is opened when; no frame is lost or written twice."""
    monkeypatch.setattr(video, "CUDA_FORMAT", "nv12")
    monkeypatch.setattr(video, "NVENC_ENCODERS", {"h264": codecs.ENCODERS["h264"]} if by_gpu else {})
    info = SourceInfo("clip", 160, 96, "yuv420p", Fraction(1, 25), average_fps=Fraction(25), on_gpu=True)
    out = tmp_path / "o.mp4"
    with open_sink(SinkOptions(path=out), info) as sink:
        for n in range(30):
            sink.write(as_nv12(gradient_frame(160, 96, n)), n)
            assert sink._pixel_format == ("nv12" if by_gpu else "yuv420p")
    assert frame_times(out) == [Fraction(n, 25) for n in range(30)]


def test_an_encoder_on_a_gpu_that_does_not_open_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "CUDA_FORMAT", "nv12")
    monkeypatch.setattr(video, "NVENC_ENCODERS", {"h264": codecs.ENCODERS["h264"]})
    info = SourceInfo("clip", 160, 96, "yuv420p", Fraction(1, 25), average_fps=Fraction(25), on_gpu=True)
    out = tmp_path / "o.mp4"
    with open_sink(SinkOptions(path=out), info) as sink:
        sink._encoder_options = {"preset": "no such preset"}
        with pytest.raises(SinkError, match="h264 cannot encode frames of 160x96"):
            sink.write(as_nv12(gradient_frame(160, 96)), 0)


class OnCard:
    """A frame in GPU memory, as far as `FrameNormalizer` reads it."""

    format = SimpleNamespace(name="cuda")
    sw_format = SimpleNamespace(name="nv12")
    width, height = 160, 96


@pytest.mark.parametrize(("stay", "rotation", "stays"), [(True, 0, True), (True, 90, False), (False, 0, False)])
def test_frames_on_a_gpu_are_left_there_or_downloaded(
    monkeypatch: pytest.MonkeyPatch, stay: bool, rotation: int, stays: bool
) -> None:
    there: Any = OnCard()
    here = as_nv12(gradient_frame(160, 96))
    monkeypatch.setattr(upright, "to_host", lambda frame: here if frame is there else frame)
    monkeypatch.setattr(upright, "rotation_filters", lambda frame, *, mirrored: "transpose=clock" if rotation else "")
    made = upright.FrameNormalizer(there, Fraction(1, 25), keep_on_gpu=stay)
    assert made.on_gpu == stays
    shown = made(there)
    assert (shown is there) == stays
    if not stays:
        assert (shown.width, shown.height) == ((96, 160) if rotation else (160, 96))
        assert shown.format.name == "yuv420p"
