"""`streamcam.frames`: explained frames of a video or camera in a Python loop."""

from __future__ import annotations

import dataclasses
import functools
import gc
import itertools
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam import engine, stages
from streamcam.concurrency.group import StageGroup
from streamcam.engine.explainer import FrameExplainer
from streamcam.frames import Frame, SourceInfo
from streamcam.job import FramesJob, Job
from streamcam.media.rgb import to_rgb
from streamcam.options import CameraOptions, ExplainOptions, ModelOptions, SourceOptions
from streamcam.pipeline import RunCallbacks, run
from streamcam.sources import open_source
from streamcam.temporal import MAX_HOLD_FRAMES

MODEL: dict[str, Any] = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "precision": "float32"}


@pytest.fixture(autouse=True)
def _one_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the model once for all tests of this module."""
    monkeypatch.setattr(engine, "load_explainer", load_once)


@functools.cache
def _explainer(targets: tuple[str, ...]) -> Any:
    job = FramesJob.from_options("", **MODEL, target=targets)
    first = None if targets == ("top",) else _explainer(("top",))
    return first.with_options(target=targets) if first else FrameExplainer(job.model, job.explain)


def load_once(model: ModelOptions, explain: ExplainOptions, **options: Any) -> Any:
    return _explainer(explain.target)


def new_threads(before: set[threading.Thread]) -> set[str]:
    return {thread.name for thread in set(threading.enumerate()) - before}


def test_frames_are_those_of_process_with_their_maps(clip: Path, tmp_path: Path) -> None:
    items: list[Any] = []
    job = Job.from_options(clip, tmp_path / "o.mp4", **MODEL, target=["top", 1])
    run(job, explainer=_explainer(("top", "1")), callbacks=RunCallbacks(on_frame=items.append))
    found = list(streamcam.frames(clip, **MODEL, target=["top", 1]))
    assert [one.index for one in found] == list(range(len(items)))
    with open_source(SourceOptions(url=str(clip))) as source:
        for one, item, frame in zip(found, items, source, strict=True):
            assert one.seconds == frame.pts * source.info.time_base
            assert isinstance(one.seconds, Fraction)
            np.testing.assert_array_equal(one.image, to_rgb(frame.video_frame))
            assert len(one.attributions) == 2
            for own, expected in zip(one.attributions, item.attributions, strict=True):
                np.testing.assert_array_equal(own.heatmap, expected.heatmap)
                assert (own.label, own.vmax) == (expected.label, expected.vmax)
            assert one.classes[0][1] == item.top[0][1]
    drawn = found[0].overlay(target=1, alpha=1.0)
    assert drawn.shape == found[0].image.shape
    assert (drawn != found[0].image).any()
    assert found[0].overlay(layout="side-by-side").shape[1] == 2 * drawn.shape[1]
    with pytest.raises(streamcam.OptionError, match="no target 2"):
        found[0].overlay(target=2)
    signed, pixels = (dataclasses.replace(found[0], map_kind=map_kind) for map_kind in ("signed", "pixels"))
    assert (signed.overlay() != signed.overlay(colormap="turbo")).any()
    alone = pixels.overlay(layout="heatmap")
    np.testing.assert_array_equal(alone, pixels.overlay(layout="heatmap", colormap="gray"))


def test_frames_between_hold_a_map(clip: Path) -> None:
    found = list(itertools.islice(streamcam.frames(clip, **MODEL, every=2), 4))
    assert [one.held for one in found] == [False, True, False, True]


def test_leaving_the_loop_ends_every_thread(clip: Path) -> None:
    before = set(threading.enumerate())
    kept = streamcam.frames(clip, **MODEL)
    assert next(kept).index == 0
    assert new_threads(before)
    kept.close()
    assert not new_threads(before)
    for frame in streamcam.frames(clip, **MODEL):
        assert frame.index == 0
        break
    gc.collect()
    assert not new_threads(before)
    with pytest.raises(StopIteration):
        next(kept)


def test_a_camera_gives_its_newest_frame_and_ends_with_the_loop() -> None:
    camera, before = "lavfi:testsrc2=size=64x64:rate=25", set(threading.enumerate())
    found = list(itertools.islice(streamcam.frames(camera, **MODEL), 3))
    assert [one.index for one in found] == [0, 1, 2]
    assert found[0].image.shape == (64, 64, 3)
    assert found[0].seconds < found[1].seconds < found[2].seconds
    gc.collect()
    assert not new_threads(before)
    with pytest.raises(streamcam.OptionError, match="not for cameras"):
        next(streamcam.frames(camera, **MODEL, start=3))


def test_a_camera_gets_the_limits_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[CameraOptions] = []

    def open_camera(options: CameraOptions) -> Any:
        opened.append(options)
        raise streamcam.SourceError("no camera")

    monkeypatch.setattr("streamcam.sources.open_camera", open_camera)
    with pytest.raises(streamcam.SourceError, match="no camera"):
        next(streamcam.frames("webcam", **MODEL, timeout_seconds=3.0, max_pixels=4000, allow_playlist_files=True))
    (options,) = opened
    assert (options.timeout_seconds, options.max_pixels, options.allow_playlist_files) == (3.0, 4000, True)


def test_queues_of_large_frames_are_short(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depths: dict[str, int] = {}
    prefetch, batched, interpolate_maps = StageGroup.prefetch, stages.batched, stages.interpolate_maps

    def record_queue(group: StageGroup, items: Any, *, depth: int, name: str, **options: Any) -> Any:
        depths[name] = depth
        return prefetch(group, items, depth=depth, name=name, **options)

    def record_batch(frames: Any, size: int, *, max_length: int) -> Any:
        depths["batch"] = max_length
        return batched(frames, size, max_length=max_length)

    def record_waiting(*arguments: Any, max_waiting: int = MAX_HOLD_FRAMES) -> Any:
        depths["waiting"] = max_waiting
        return interpolate_maps(*arguments, max_waiting=max_waiting)

    monkeypatch.setattr(StageGroup, "prefetch", record_queue)
    monkeypatch.setattr(stages, "batched", record_batch)
    monkeypatch.setattr(stages, "interpolate_maps", record_waiting)
    monkeypatch.setattr(SourceInfo, "frame_bytes", property(lambda info: 256 << 20))
    found = list(streamcam.frames(clip, **MODEL, every=3, interpolation="linear"))
    assert [one.held for one in found[:4]] == [False, True, True, False]
    assert depths == {"decode": 0, "batch": 1, "waiting": 2}


def test_the_decoder_reads_as_far_ahead_as_in_process(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []
    prefetch = StageGroup.prefetch

    def record_queue(group: StageGroup, items: Any, *, depth: int, name: str, **options: Any) -> Any:
        depths.extend([depth] if name == "decode" else [])
        return prefetch(group, items, depth=depth, name=name, **options)

    monkeypatch.setattr(StageGroup, "prefetch", record_queue)
    run(Job.from_options(clip, tmp_path / "o.mp4", **MODEL, every=2), explainer=_explainer(("top",)))
    assert len(list(streamcam.frames(clip, **MODEL, every=2))) == 50
    assert depths[0] == depths[1] > 2


def test_options_are_checked_by_the_call_itself(tmp_path: Path) -> None:
    with pytest.raises(streamcam.OptionError, match="unknown option 'alpa'"):
        streamcam.frames("a.mp4", alpa=1)  # type: ignore[call-arg]
    with pytest.raises(streamcam.OptionError, match="every"):
        streamcam.frames("a.mp4", every=0)
    frames = streamcam.frames(tmp_path / "missing.mp4")
    with pytest.raises(streamcam.SourceError, match=r"missing\.mp4"):
        next(frames)


def test_the_function_and_the_module_of_that_name_live_together() -> None:
    import streamcam.frames

    assert callable(streamcam.frames)
    assert Frame.__module__ == "streamcam.frames"
