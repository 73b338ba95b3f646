"""Decoder, encoder and the CUDA context they share, without a GPU."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamcam.errors import DeviceError, SinkError
from streamcam.frames import SourceInfo
from streamcam.media import cuda
from streamcam.options import SinkOptions, SourceOptions
from streamcam.sinks import codecs, open_sink, video
from streamcam.sources import container as opening
from streamcam.sources import normalize as upright
from tests.media_helpers import frame_times, gradient_frame

from .conftest import as_nv12

pytestmark = pytest.mark.gpu


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
