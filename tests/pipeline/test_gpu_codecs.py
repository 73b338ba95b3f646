"""Decoding and encoding on a graphics card: each falls back to the processor by itself, and says so."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

import streamcam
from streamcam.sinks import codecs
from streamcam.sources.files import file

BUILD = {"model": "tests.road.models:brightness_of_fixed_size", "preprocess": "none", "precision": "float32"}


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "name"), [("h264", "libx264"), ("hevc", "libx265"), ("vp9", "libvpx-vp9")])
def test_without_a_card_the_processor_does_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, name: str
) -> None:
    monkeypatch.setattr(codecs, "nvenc_unavailable_reason", lambda encoder: "none here")
    monkeypatch.setattr(file, "nvdec_unavailable_reason", lambda: "none here")
    out = tmp_path / "o.mp4"
    summary = streamcam.process(clip, out, decode="gpu", decoder="gpu", codec=codec, **BUILD)
    assert (summary.decoder, summary.encoder, summary.frames_out) == ("h264", name, 50)
    assert [note for note in summary.notes if "--decoder nvdec: the processor decodes (none here)" in note]
    why = "cards do not encode vp9" if codec == "vp9" else "none here"
    assert [note for note in summary.notes if f"--encoder nvenc: the processor encodes ({why})" in note]
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50


def test_whatever_this_machine_has_is_used_and_named(clip: Path, tmp_path: Path) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", decode="gpu", decoder="gpu", **BUILD)
    assert summary.frames_out == 50
    on_gpu = summary.decoder.endswith("(nvdec)"), summary.encoder.endswith("_nvenc")
    is_noted = tuple(any(f"--{what} gpu" in note for note in summary.notes) for what in ("decode", "encode"))
    assert on_gpu == tuple(not one for one in is_noted)


def test_the_processor_is_the_default_and_says_nothing(clip: Path, tmp_path: Path) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", **BUILD)
    assert (summary.decoder, summary.encoder) == ("h264", "libx264")
    assert not [note for note in summary.notes if "gpu" in note]
