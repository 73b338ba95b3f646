"""A machine of 16 cores: several threads draw, several encoders work, and the frames are those of 2 cores."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.cli.results import format_summary
from streamcam.compose import FrameRenderer, render_threads
from streamcam.engine import load_explainer
from streamcam.engine.explainer import FrameExplainer
from streamcam.errors import StreamcamError
from streamcam.job import Job
from streamcam.pipeline import run
from streamcam.sinks import encoder_count
from streamcam.sinks.segment_encoder import SegmentEncoder
from streamcam.summary import Summary
from tests.media_helpers import gradient_frame, packets_of, write_clip

TIMEOUT = 60
NUM_FRAMES = 130
MODEL: dict[str, Any] = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "precision": "float32"}


@cache
def explainer() -> FrameExplainer:
    job = Job.from_options("any.mp4", "any.mp4", **MODEL)
    return load_explainer(job.model, job.explain)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = [gradient_frame(96, 64, index) for index in range(NUM_FRAMES)]
    return write_clip(tmp_path_factory.mktemp("cores") / "in.mp4", frames, audio=True)


def process(source: Path, out: Path, cores: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Summary:
    with monkeypatch.context() as patch:
        for module in (render_threads, encoder_count):
            patch.setattr(module, "cpu_count", lambda: cores)
        return run(Job.from_options(source, out, **MODEL | options), explainer=explainer())


def pixels(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def test_sixteen_cores_draw_what_two_draw(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores in (2, 16):
        summary = process(source, tmp_path / f"{cores}.mkv", cores, monkeypatch, codec="ffv1")
        assert summary.frames_out == summary.frames_explained == NUM_FRAMES
        assert summary.encoders == {2: 1, 16: 6}[cores]
        line = format_summary(summary, Job.from_options(source, tmp_path / f"{cores}.mkv", **MODEL))
        assert (", 6 encoders" in line) == (cores == 16)
    assert np.array_equal(pixels(tmp_path / "2.mkv"), pixels(tmp_path / "16.mkv"))
    assert packets_of(tmp_path / "2.mkv", "audio") == packets_of(tmp_path / "16.mkv", "audio")


def test_sixteen_cores_work_at_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, set[str]] = {"draw": set(), "encode": set()}
    lock = threading.Lock()
    meetings = {"draw": threading.Barrier(4), "encode": threading.Barrier(2)}

    def meet_first(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def meet_and_call(*arguments: Any) -> Any:
            name = threading.current_thread().name
            with lock:
                is_awaited = name not in threads[stage] and len(threads[stage]) < meetings[stage].parties
                threads[stage] |= {name} if is_awaited else set()
            if is_awaited:
                meetings[stage].wait(TIMEOUT)  # breaks if fewer threads work at this time
            return function(*arguments)

        return meet_and_call

    monkeypatch.setattr(FrameRenderer, "draw", meet_first("draw", FrameRenderer.draw))
    monkeypatch.setattr(SegmentEncoder, "_encode", meet_first("encode", SegmentEncoder._encode))
    process(source, tmp_path / "o.mp4", 16, monkeypatch)
    assert threads["draw"] == {f"streamcam-draw-{number}-0" for number in range(4)}
    assert len(threads["encode"]) == 2  # of six, for three segments
    assert len(pixels(tmp_path / "o.mp4")) == NUM_FRAMES


def test_an_encoder_that_fails_ends_the_run_with_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise av.error.ExternalError(542398533, "the encoder broke")

    monkeypatch.setattr(SegmentEncoder, "_encode", fail)
    with pytest.raises(StreamcamError) as failure:
        process(source, tmp_path / "o.mp4", 16, monkeypatch)
    assert str(failure.value) == f"{tmp_path / 'o.mp4'} cannot be written: the encoder broke; no frame is kept"
    assert not (tmp_path / "o.mp4").exists()
