"""Frames that stay on a card, from end to end, the processor standing in for one; and when they do not stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import streamcam
from streamcam import card as room
from streamcam import cuda
from streamcam.card import check, why_not
from streamcam.card.__main__ import main
from streamcam.config import make_job
from streamcam.engine.store import Store
from streamcam.errors import DeviceError
from streamcam.sources import opening
from tests.media import packets_of, picture, seconds_of_frames, write_clip

MODEL = {"model": "tests.road.models:brightness_of_fixed_size", "preprocess": "none", "precision": "float32"}
BOTH = {"decode": "gpu", "encode": "gpu"}


def pictures(path: Path) -> list[NDArray[Any]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p").astype(float) for frame in container.decode(video=0)]


def likeness(one: NDArray[Any], other: NDArray[Any]) -> float:
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
def test_the_output_is_that_of_the_processor(
    card: None, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    out, other = tmp_path / "card.mp4", tmp_path / "processor.mp4"
    summary = streamcam.process(clip, out, **BOTH, **MODEL, **options)
    monkeypatch.delenv("STREAMCAM_CARD")
    usual = streamcam.process(clip, other, **MODEL, **options)
    assert (summary.memory, usual.memory) == ("cpu", "processor")
    assert (summary.frames_out, summary.frames_explained) == (usual.frames_out, usual.frames_explained)
    assert seconds_of_frames(out) == seconds_of_frames(other)
    assert packets_of(out, "audio") == packets_of(other, "audio")
    mine, theirs = pictures(out), pictures(other)
    assert len(mine) == len(theirs) == usual.frames_out
    assert min(likeness(one, two) for one, two in zip(mine, theirs, strict=True)) > 38


@pytest.mark.parametrize(
    ("made", "stays"),
    [
        ({}, True),
        ({"colour": (2, 1, 1, 1)}, True),
        ({"rotation": 90}, False),
        ({"pixel_format": "yuv420p10le"}, False),
        ({"pixel_format": "yuv444p"}, True),
        ({"colour": (1, 9, 16, 9)}, False),
    ],
)
def test_pictures_that_need_more_than_showing_do_not_stay(
    card: None, tmp_path: Path, made: dict[str, Any], stays: bool
) -> None:
    clip = write_clip(tmp_path / "c.mkv", [picture(160, 96, i) for i in range(6)], **made)
    out = tmp_path / "o.mkv"
    codec = "hevc" if not stays else "h264"
    summary = streamcam.process(clip, out, codec=codec, **BOTH, **MODEL)
    assert summary.memory == ("cpu" if stays else "processor")
    assert bool([note for note in summary.notes if "do not stay on the card: they are" in note]) != stays
    assert summary.frames_out == len(pictures(out)) == 6


def test_a_size_that_changes_midway_is_mended(card: None, tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{n}.ts", [picture(*size, i) for i in range(5)], [5 * n + i for i in range(5)])
        for n, size in enumerate([(160, 96), (128, 64)])
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    summary = streamcam.process(both, tmp_path / "o.mp4", **BOTH, **MODEL)
    assert summary.memory == "cpu"
    assert any("frames of another size" in note for note in summary.notes)
    assert {one.shape for one in pictures(tmp_path / "o.mp4")} == {(144, 160)}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"every": "auto"}, "--every auto"),
        ({"every": 2, "between": "flow"}, "--between flow"),
        ({"every": 2, "between": "linear"}, "--between linear"),
        ({"path": "o.png"}, "stills"),
        ({"codec": "vp9", "path": "o.webm"}, "do not encode vp9"),
        ({"device": "cpu"}, "gpu:0"),
        ({"device": "gpu:0,gpu:1"}, "gpu:0"),
        ({}, "no decoder"),
    ],
)
def test_why_frames_do_not_stay(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], says: str) -> None:
    monkeypatch.setattr(room, "why_no_decoder", lambda: "no decoder")
    path = options.pop("path", "o.mp4")
    assert says in why_not(make_job("clip.mp4", path, **BOTH, **options))


def test_one_of_the_two_alone_asks_for_nothing(clip: Path, tmp_path: Path) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", decode="gpu", **MODEL)
    assert summary.memory == "processor"
    assert not [note for note in summary.notes if "stay" in note]


def test_the_trial_passes_where_the_processor_stands_in(card: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("broken", "says"),
    [("scaler", "scaled differently"), ("painter", "only .* dB like"), ("taker", "scaled differently")],
)
def test_the_trial_finds_what_is_wrong(card: None, monkeypatch: pytest.MonkeyPatch, broken: str, says: str) -> None:
    if broken == "scaler":
        monkeypatch.setattr(check, "CardScaler", lambda *_: lambda picture: np.zeros((224, 224, 3), np.uint8))
    elif broken == "painter":
        painter = check.CardPainter

        class Late(painter):
            def draw(self, item: Any) -> Any:
                before = getattr(self, "before", item)
                self.before = item
                return super().draw(before)

        monkeypatch.setattr(check, "CardPainter", Late)
    else:
        # What a decoder does that writes over a picture before it was copied.
        monkeypatch.setattr(check, "Taker", lambda device: lambda frames: [list(frames)[-1]] * 60)
    with pytest.raises(DeviceError, match=says):
        check.check("cpu")


def test_a_trial_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert check.try_out()  # there is no card, or it does not do

    def python(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return str(path)

    for script, wanted in (
        ("exit 0", ""),
        ("echo one; echo two; exit 1", "two"),
        ("kill -ABRT $$", "the trial ended with -6"),
    ):
        monkeypatch.setattr(check.sys, "executable", python(script))
        assert check.try_out() == wanted
    monkeypatch.setattr(check.sys, "executable", str(tmp_path / "nothing"))
    assert "the trial failed" in check.try_out()


def test_a_trial_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []

    def tried() -> str:
        made.append(1)
        return "" if len(made) == 2 else "no luck"

    monkeypatch.setattr(check, "try_out", tried)
    store = Store(tmp_path)
    assert [room._tried(store) for _ in range(2)] == ["no luck", "no luck"]
    assert len(made) == 1
    assert room._tried(store, again=True) == ""
    assert [room._tried(store) for _ in range(2)] == ["", ""]
    assert len(made) == 2
    monkeypatch.setattr(check, "driver_version", lambda: "another")
    assert room._tried(store) == "no luck"


class Driver:
    """What is called of CUDA's driver, and how it answers."""

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
    cuda._primary.cache_clear()
    yield made
    cuda._primary.cache_clear()


def test_the_primary_context_is_current_while_ffmpeg_looks(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}

    def opened(path: str, **options: Any) -> str:
        driver.called.append("open")
        told.update(options)
        return "container"

    monkeypatch.setattr(opening.av, "open", opened)
    clip = Path(__file__)
    assert opening.open_container(str(clip), 1, card=True, stay=True) == "container"
    assert driver.called == [
        *("cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2", "open", "cuCtxPopCurrent_v2")
    ]
    accelerator = told["hwaccel"]
    assert (accelerator.is_hw_owned, accelerator.options) == (True, {"primary_ctx": "0", "current_ctx": "1"})
    driver.called.clear()
    opening.open_container(str(clip), 1, card=True)
    assert driver.called == ["open"]
    assert not told["hwaccel"].is_hw_owned
    opening.open_container(str(clip), 1)
    assert told["hwaccel"] is None


def test_the_context_is_left_also_after_an_error(driver: Driver) -> None:
    with pytest.raises(ZeroDivisionError), cuda.context():
        raise ZeroDivisionError
    assert driver.called[-1] == "cuCtxPopCurrent_v2"
    driver.called.clear()
    cuda.settle()
    assert driver.called == ["cuCtxPushCurrent_v2", "cuStreamSynchronize", "cuCtxPopCurrent_v2"]
    driver.status["cuStreamSynchronize"] = 700
    with pytest.raises(DeviceError, match="cuStreamSynchronize gave 700"):
        cuda.settle()
    assert driver.called[-1] == "cuCtxPopCurrent_v2"


def test_without_a_driver_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError

    monkeypatch.setattr(cuda.ctypes, "CDLL", missing)
    cuda._primary.cache_clear()
    with pytest.raises(DeviceError, match="no driver of Nvidia"):
        cuda.settle()
    assert cuda.driver_version() == ""
