"""Decoding and encoding on a GPU: each falls back to the CPU by itself, with a note."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

import streamcam
from streamcam.sinks import codecs
from streamcam.sources.files import file

pytestmark = pytest.mark.slow

BUILD = {"model": "tests.pipeline.models:brightness_of_fixed_size", "preprocess": "none", "precision": "float32"}


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "name"), [("h264", "libx264"), ("hevc", "libx265"), ("vp9", "libvpx-vp9")])
def test_without_a_gpu_the_cpu_does_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, name: str
) -> None:
    monkeypatch.setattr(codecs, "nvenc_unavailable_reason", lambda encoder: "none here")
    monkeypatch.setattr(file, "nvdec_unavailable_reason", lambda: "none here")
    out = tmp_path / "o.mp4"
    summary = streamcam.process(clip, out, decoder="nvdec", encoder="nvenc", codec=codec, **BUILD)
    assert (summary.decoder, summary.encoder, summary.frames_out) == ("h264", name, 50)
    assert [note for note in summary.notes if "--decoder nvdec: frames are decoded on the CPU (none here)" in note]
    why = "GPUs do not encode vp9" if codec == "vp9" else "none here"
    assert [note for note in summary.notes if f"--encoder nvenc: frames are encoded on the CPU ({why})" in note]
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50


def test_available_gpu_codecs_are_used_and_named(clip: Path, tmp_path: Path) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", decoder="nvdec", encoder="nvenc", **BUILD)
    assert summary.frames_out == 50
    on_gpu = summary.decoder.endswith("(nvdec)"), summary.encoder.endswith("_nvenc")
    is_noted = tuple(any(what in note for note in summary.notes) for what in ("--decoder nvdec", "--encoder nvenc"))
    assert on_gpu == tuple(not one for one in is_noted)


def test_the_cpu_is_the_default_without_a_note(clip: Path, tmp_path: Path) -> None:
    summary = streamcam.process(clip, tmp_path / "o.mp4", **BUILD)
    assert (summary.decoder, summary.encoder) == ("h264", "libx264")
    assert not [note for note in summary.notes if "nvdec" in note or "nvenc" in note]
