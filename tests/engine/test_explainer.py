"""Frames through the explainer: order, holding, batching, endings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streamcam.concurrency.group import StageTimer
from streamcam.engine.explainer import FrameExplainer
from streamcam.engine.prepared_source import PreparedSource
from streamcam.engine.results import hold_between
from streamcam.engine.runtime.replica import DeviceReplica
from streamcam.errors import LayerError, MethodError, OptionError, SourceError, TargetError
from streamcam.frames import ExplainedFrame, Frame, SourceInfo
from streamcam.options import ExplainOptions, ModelOptions
from streamcam.stages import batched

from .models import HEIGHT, WIDTH

BUILD = "tests.engine.models:functional"


def info(**more: Any) -> SourceInfo:
    return SourceInfo(name="x", width=64, height=64, pixel_format="yuv420p", time_base=Fraction(1, 25), **more)


def frames(count: int, every: int = 1) -> Iterator[Frame]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)
    for n in range(count):
        yield Frame(index=n, pts=n, video_frame=None, model_input=pixels[n] if n % every == 0 else None)  # type: ignore[arg-type]


def explain_frames(
    explainer: FrameExplainer, prepared: PreparedSource, items: Iterator[Frame], longest: int = 4
) -> list[ExplainedFrame]:
    work = explainer.workers(prepared.replicas, StageTimer())[0]
    return list(hold_between(map(work, batched(items, 4, max_length=longest))))


@pytest.fixture(scope="module")
def explainer() -> FrameExplainer:
    return FrameExplainer(ModelOptions(model=BUILD), ExplainOptions(batch=4))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 12])
def test_every_frame_comes_out_in_order_and_is_its_own(explainer: FrameExplainer, count: int) -> None:
    prepared = explainer.prepare(info())
    out = explain_frames(explainer, prepared, frames(count))
    assert [item.frame.index for item in out] == list(range(count))
    assert not any(item.held for item in out)
    for item, frame in zip(out, frames(count), strict=True):
        assert frame.model_input is not None
        (attribution,) = item.attributions
        np.testing.assert_allclose(
            attribution.heatmap, prepared.executable(frame.model_input[None]).maps[0, 0], atol=1e-6
        )
        assert attribution.class_index is not None
        assert attribution.label == explainer.info.labels[attribution.class_index]
        assert item.top[0] == (attribution.class_index, pytest.approx(attribution.probability))
        assert item.frame.model_input is None


def test_frames_in_between_hold_the_map_before_them(explainer: FrameExplainer) -> None:
    prepared = explainer.prepare(info(), every=3)
    out = explain_frames(explainer, prepared, frames(10, every=3), longest=7)
    assert [item.frame.index for item in out] == list(range(10))
    assert [item.held for item in out] == [n % 3 != 0 for n in range(10)]
    for n, item in enumerate(out):
        assert item.attributions is out[n - n % 3].attributions


def test_batches_are_bounded_both_ways() -> None:
    sizes = [(len(b), sum(f.model_input is not None for f in b)) for b in batched(frames(20, every=2), 3, max_length=8)]
    assert sum(total for total, _ in sizes) == 20
    assert all(total <= 8 and seen <= 3 for total, seen in sizes)
    sizes = [
        (len(b), sum(f.model_input is not None for f in b)) for b in batched(frames(20, every=19), 3, max_length=8)
    ]
    assert [total for total, _ in sizes] == [8, 8, 4]


def test_what_was_read_before_an_error_still_goes_on() -> None:
    error = SourceError("broken")

    def broken_source() -> Iterator[Frame]:
        yield from frames(5)
        raise error

    seen: list[int] = []
    with pytest.raises(SourceError) as caught:
        for batch in batched(broken_source(), 4, max_length=4):
            seen.extend(frame.index for frame in batch)
    assert caught.value is error
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_short_sources_and_strides_make_small_batches() -> None:
    explainer = FrameExplainer(ModelOptions(model=BUILD), ExplainOptions())
    assert explainer.prepare(info(num_frames=1)).executable.batch == 1
    assert explainer.prepare(info(num_frames=1000), every=4).executable.batch == 2
    assert explainer.prepare(info(num_frames=500)).executable.batch == 8


@pytest.mark.parametrize(("build", "expected"), [("any_size", (288, 160)), ("functional", (WIDTH, HEIGHT))])
def test_auto_fit_shows_the_whole_frame_in_its_own_shape_where_it_can(build: str, expected: tuple[int, int]) -> None:
    explainer = FrameExplainer(ModelOptions(model=f"tests.engine.models:{build}"), ExplainOptions())
    wide = replace(info(), width=1280, height=720)
    assert explainer.geometry(wide).input == explainer.geometry(wide).scaled == expected


def test_pixels_that_are_not_square_are_seen_as_shown() -> None:
    explainer = FrameExplainer(ModelOptions(model="tests.engine.models:any_size"), ExplainOptions())
    anamorphic = replace(info(), width=720, height=576, pixel_aspect=Fraction(64, 45))
    assert explainer.geometry(anamorphic).input == (288, 160)


def test_an_output_that_is_not_finite_draws_nothing_and_is_noted(explainer: FrameExplainer) -> None:
    prepared = explainer.prepare(info())

    def return_nan(codes: Any, images: Any) -> Any:
        shared, (outputs,) = prepared.executable.first(codes, images)
        classes, scores, probability, maps = (output.copy() for output in outputs)
        maps[1], scores[2] = np.nan, np.inf
        return shared, [[classes, scores, probability, maps]]

    (replica,) = prepared.replicas
    ill = replace(
        prepared,
        all_replicas=(DeviceReplica(replace(prepared.executable, first=return_nan), replica._rebuild_smaller),),
    )
    out = explain_frames(explainer, ill, frames(4))
    assert [bool(np.any(item.attributions[0].heatmap)) for item in out[1:3]] == [False, False]
    assert all(np.isfinite(item.attributions[0].heatmap).all() for item in out)
    errors = {item.frame.index: item.errors for item in out if item.errors}
    assert errors == {1: ("the method's map is not a number",), 2: ("the model's answer is not a number",)}


@pytest.mark.slow
def test_only_a_few_kernels_are_kept() -> None:
    explainer = FrameExplainer(ModelOptions(model="tests.engine.models:any_size"), ExplainOptions())
    shapes = [(64, 64), (128, 64), (64, 128)]
    kernels = [explainer.prepare(replace(info(), width=w, height=h)).executable for w, h in shapes]
    again = [explainer.prepare(replace(info(), width=w, height=h, num_frames=1)).executable for w, h in shapes[1:]]
    assert again == kernels[1:]  # a larger batch serves as well
    assert explainer.prepare(info()).executable is not kernels[0]


def test_the_target_layer_is_announced(explainer: FrameExplainer) -> None:
    explainer.prepare(info())
    assert any(note.startswith("target layer last: 6x4 positions") for note in explainer.notes)


@pytest.mark.parametrize(
    ("model", "explain", "error"),
    [
        ({}, {"method": "gradcan"}, MethodError),
        ({}, {"target": ("no such class",)}, TargetError),
        ({}, {"target": ("5",)}, TargetError),
        ({"fit": "native"}, {}, OptionError),
    ],
)
def test_what_cannot_be_is_refused_at_once(model: Any, explain: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        FrameExplainer(ModelOptions(model=BUILD, **model), ExplainOptions(**explain))


def test_a_wrong_layer_is_refused_before_any_frame() -> None:
    explainer = FrameExplainer(ModelOptions(model=BUILD), ExplainOptions(layer="lost"))
    with pytest.raises(LayerError, match="last"):
        explainer.prepare(info())
