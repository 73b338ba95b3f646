"""Scaling and drawing in GPU memory: against definitions, and against what the CPU draws."""

from __future__ import annotations

import gc
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av.error
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamcam.compose import FrameRenderer
from streamcam.errors import DeviceError, OutOfMemoryError
from streamcam.frames import MAP_KINDS, Attribution, CaptionFacts, ColorSpec, ExplainedFrame, Frame, SourceInfo
from streamcam.geometry import FITS, Geometry, fit_to_input
from streamcam.gpu import dlpack as memory
from streamcam.gpu.dlpack import cuda_context, pack_nv12, to_tensors, to_video_frame
from streamcam.gpu.frame_copy import SurfaceCopier
from streamcam.gpu.renderer import GpuRenderer
from streamcam.gpu.resizer import GpuResizer, area_weights
from streamcam.options import LAYOUTS, DrawOptions
from streamcam.sources.resize import LETTERBOX_GRAY, InputResizer
from streamcam.tf import tf
from tests.media_helpers import COLORS, color_patches, gradient_frame, planes

from .conftest import as_nv12, as_yuv420p

pytestmark = pytest.mark.gpu

SIZES = [(320, 180), (250, 142), (64, 500)]
"""The second one's lines are no multiple of TensorFlow's alignment."""

BT709 = ColorSpec(range=1, primaries=1, transfer=1, matrix=1)


def noise(width: int, height: int, seed: int = 0) -> VideoFrame:
    frame = VideoFrame(width, height, "yuv420p")
    for plane in planes(frame):
        plane[:] = np.random.default_rng(seed).integers(16, 236, plane.shape)
    return frame


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_becomes_tensors_and_a_frame_again(emulated_gpu: None, size: tuple[int, int]) -> None:
    before = as_nv12(noise(*size))
    luma, chroma = to_tensors(before)
    width, height = size
    whole = pack_nv12(luma[:, :width], chroma[:, : width // 2], size)
    after = to_video_frame(whole, width, cuda_context("cpu"))
    expected = before.to_ndarray().copy()
    del before, luma, chroma, whole
    gc.collect()
    assert (after.width, after.height, after.format.name) == (width, height, "nv12")
    assert np.array_equal(after.to_ndarray(), expected)
    again = to_tensors(after)[0]
    assert np.array_equal(again.numpy()[:, :width], expected[:height])


def with_line_size(frame: VideoFrame, line: int, shift: int = 0) -> VideoFrame:
    """Return the frame with lines of so many bytes, ``shift`` bytes off TensorFlow's alignment."""
    width, height = frame.width, frame.height
    memory = np.zeros(line * height * 3 // 2 + 128, np.uint8)
    first = -memory.ctypes.data % 64 + shift
    whole = memory[first : first + line * height * 3 // 2].reshape(-1, line)
    whole[:, :width] = frame.to_ndarray()
    return VideoFrame.from_dlpack([whole[:height, :width], whole[height:, :width]], "nv12")


def test_a_frame_at_an_odd_place_does_not_end_the_process(emulated_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = as_nv12(noise(64, 48))
    luma, chroma = to_tensors(with_line_size(frame, 80, shift=8))
    assert np.array_equal(luma.numpy()[:, :64], frame.to_ndarray()[:48])
    assert np.array_equal(chroma.numpy()[:, :32].reshape(24, 64), frame.to_ndarray()[48:])
    # In GPU memory it cannot be copied so.
    monkeypatch.setattr(memory, "CUDA_FORMAT", "nv12")
    with pytest.raises(DeviceError, match=r"at an address .*omit --decoder nvdec"):
        to_tensors(with_line_size(frame, 64, shift=8))


def test_lines_may_have_another_length_from_frame_to_frame(emulated_gpu: None) -> None:
    """Frames decoded on the GPU have other line sizes than those decoded on the CPU."""
    lines = [512, 512, 192, 512]
    frames = [Frame(n, n, with_line_size(as_nv12(noise(160, 96, n)), line)) for n, line in enumerate(lines)]
    for n, taken in enumerate(SurfaceCopier("cpu")(frames)):
        assert np.array_equal(taken.video_frame.to_ndarray(), as_nv12(noise(160, 96, n)).to_ndarray())


@pytest.mark.parametrize("mode", FITS)
@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (100, 56)])
def test_scaling_averages_over_areas(emulated_gpu: None, mode: Any, size: tuple[int, int]) -> None:
    geometry = fit_to_input(mode, size, (112, 96))
    frame = noise(*size)
    luma = planes(frame)[0].astype(float)
    planes(frame)[1][:] = planes(frame)[2][:] = 128
    view = GpuResizer(geometry, ColorSpec(range=2, matrix=1), "cpu")(as_nv12(frame)).astype(float)
    assert np.abs(view - average_areas(luma, geometry)[..., None]).max() <= 0.6


def average_areas(luma: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Each pixel by itself: the mean of 2000 points in what it covers, or in one sample where that is more."""
    width, height = geometry.input
    lines = [points(n, 1, geometry) for n in range(height)]
    columns = [points(n, 0, geometry) for n in range(width)]
    rows = np.stack([luma[line].mean(axis=0) if line is not None else np.full(luma.shape[1], np.nan) for line in lines])
    view = np.stack(
        [rows[:, column].mean(axis=1) if column is not None else np.full(height, np.nan) for column in columns], axis=1
    )
    return np.nan_to_num(view, nan=LETTERBOX_GRAY)


def points(n: int, axis: int, geometry: Geometry) -> NDArray[np.intp] | None:
    source, scaled, offset = geometry.source[axis], geometry.scaled[axis], geometry.offset[axis]
    step = source / scaled
    centre = (n - offset + 0.5) * step
    if not 0 <= centre <= source:
        return None
    half = max(step, 1) / 2
    places = centre - half + (np.arange(2000) + 0.5) * (2 * half / 2000)
    return np.clip(np.floor(places), 0, source - 1).astype(np.intp)


@pytest.mark.parametrize("samples", [1, 2])
def test_weights_add_up(samples: int) -> None:
    for geometry in (fit_to_input("crop", (640, 360), (224, 224)), fit_to_input("letterbox", (640, 360), (224, 224))):
        for axis in (0, 1):
            weights = area_weights(
                *(getattr(geometry, name)[axis] for name in ("source", "scaled", "offset", "input")), samples
            )
            sums = weights.sum(axis=1)
            assert np.all(np.isclose(sums, 1, atol=1e-5) | (sums == 0))
            assert (weights >= 0).all()
            assert sums.any()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colours_are_those_of_the_definition(emulated_gpu: None, matrix: int, full: bool) -> None:
    frame = as_nv12(color_patches(matrix, full))
    color = ColorSpec(range=2 if full else 1, matrix=matrix)
    view = GpuResizer(Geometry((256, 64), (256, 64), (256, 64)), color, "cpu")(frame)
    middles = view[32, 16::32].astype(int)
    assert np.abs(middles - COLORS).max() <= 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", FITS)
def test_the_model_input_is_that_of_the_cpu(emulated_gpu: None, mode: Any, size: tuple[int, int]) -> None:
    frame, geometry = (
        gradient_frame(*size),
        fit_to_input("letterbox" if mode == "crop" and size[0] < 99 else mode, size, (64, 64)),
    )
    view = GpuResizer(geometry, BT709, "cpu")(as_nv12(frame)).astype(int)
    other = InputResizer(geometry, BT709)(frame).astype(int)
    assert view.shape == other.shape
    assert np.abs(view - other).mean() < 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("map_kind", MAP_KINDS)
@pytest.mark.parametrize(("size", "mode", "targets"), [(SIZES[0], "stretch", 1), (SIZES[1], "crop", 3)])
def test_the_gpu_draws_what_the_cpu_draws(
    emulated_gpu: None, layout: Any, map_kind: Any, size: tuple[int, int], mode: Any, targets: int
) -> None:
    info = SourceInfo("clip", *size, "yuv420p", Fraction(1, 25), color=BT709)
    geometry = fit_to_input(mode, size, (224, 224))
    frame = Frame(0, 7, noise(*size))
    options = DrawOptions(layout=layout)
    how: dict[str, Any] = {"facts": CaptionFacts("gradcam", "conv"), "panels": targets, "map_kind": map_kind}
    here, there = (
        FrameRenderer(options, info, geometry, **how),
        GpuRenderer(options, info, geometry, device="cpu", **how),
    )
    for seed in range(3):
        rng = np.random.default_rng(seed)
        attribution = tuple(
            Attribution(
                rng.standard_normal((7, 9)).astype(np.float32), f"class {n}" * (seed + 1), 1.5, None, None, seed * 1.1
            )
            for n in range(targets)
        )
        item = ExplainedFrame(frame, attribution, caption_note="held")
        mine = here.draw(item)
        gpu_item = replace(item, frame=replace(frame, video_frame=as_nv12(frame.video_frame)))
        theirs = there.draw(gpu_item)
        assert (theirs.pts, theirs.time_base, theirs.colorspace) == (mine.pts, mine.time_base, mine.colorspace)
        assert (theirs.width, theirs.height) == there.size == here.size
        for one, other in zip(planes(mine), planes(as_yuv420p(theirs)), strict=True):
            difference = np.abs(one.astype(int) - other)
            assert difference.max() <= 1
            assert np.count_nonzero(difference) <= max(3, difference.size // 5000)


def test_where_there_is_no_evidence_nothing_changes(emulated_gpu: None) -> None:
    info = SourceInfo("clip", 320, 180, "yuv420p", Fraction(1, 25), color=BT709)
    renderer = GpuRenderer(
        DrawOptions(caption=False),
        info,
        fit_to_input("stretch", (320, 180), (224, 224)),
        facts=CaptionFacts(),
        device="cpu",
    )
    before = as_nv12(noise(320, 180))
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[0, 0] = 1
    drawn = renderer.draw(ExplainedFrame(Frame(0, 0, before), (Attribution(heatmap, "x", 1.0, 0.5, 0, 1.0),)))
    difference = drawn.to_ndarray() != before.to_ndarray()
    assert difference[:20, :30].any()
    assert not difference[100:180].any()
    assert not difference[180 + 50 :].any()


def test_frames_are_copied_out_of_the_decoders_memory(emulated_gpu: None) -> None:
    decoded = as_nv12(noise(250, 142))
    decoded.pts, decoded.time_base, decoded.duration = 9, Fraction(1, 25), 3
    before = decoded.to_ndarray().copy()
    (taken,) = SurfaceCopier("cpu")([Frame(4, 9, decoded)])
    planes(decoded)[0][:] = 0
    assert np.array_equal(taken.video_frame.to_ndarray(), before)
    assert (taken.index, taken.video_frame.pts, taken.video_frame.duration) == (4, 9, 3)


def test_each_operation_has_a_kernel_on_gpus(emulated_gpu: None) -> None:
    """TensorFlow runs an operation without a GPU kernel on the CPU, and copies the frame there and back."""
    from tensorflow.python.framework import kernels

    info = SourceInfo("clip", 320, 180, "yuv420p", Fraction(1, 25), color=BT709)
    geometry = fit_to_input("letterbox", (320, 180), (224, 224))
    options = DrawOptions(layout="side-by-side")
    renderer = GpuRenderer(options, info, geometry, facts=CaptionFacts("x"), device="cpu", panels=2, map_kind="signed")
    scaler, copier = GpuResizer(geometry, BT709, "cpu"), SurfaceCopier("cpu")
    attribution = Attribution(np.ones((7, 7), np.float32), "x", 1.0, 0.5, 0, 1.0)
    (frame,) = copier([Frame(0, 0, as_nv12(noise(320, 180)))])
    scaler(frame.video_frame)
    renderer.draw(ExplainedFrame(frame, (attribution, attribution)))
    traced = [scaler._resize, copier._copy, *renderer._graphs.values()]
    graphs = [one.graph for function in traced for one in function._list_all_concrete_functions()]
    large = [node for graph in graphs for node in graph.get_operations() if node.inputs and moves_frame_data(node)]
    assert {"MatMul", "GatherV2", "ConcatV2", "Cast"} <= {node.type for node in large}
    for node in large:
        fitting = [
            executable
            for executable in kernels.get_registered_kernels_for_op(node.type).kernel
            if executable.device_type == "GPU"
            and all(
                node.get_attr(one.name).as_datatype_enum in one.allowed_values.list.type
                for one in executable.constraint
            )
        ]
        assert fitting, f"{node.type} of {[one.dtype for one in node.inputs]} has none"
        # CPU memory holds sizes and the like, and never a frame.
        names = [one.name for one in node.op_def.input_arg for _ in range(len_of(node, one))]
        names += [one.name for one in node.op_def.output_arg for _ in range(len_of(node, one))]
        for tensor, name in zip([*node.inputs, *node.outputs], names, strict=True):
            small = tensor.shape.num_elements() in range(20)
            assert small or all(name not in kernel.host_memory_arg for kernel in fitting)


def moves_frame_data(node: Any) -> bool:
    return node.type not in ("Identity", "Placeholder") and any(
        one.dtype in (tf.uint8, tf.float32, tf.int64) for one in [*node.inputs, *node.outputs]
    )


def len_of(node: Any, argument: Any) -> int:
    return int(node.get_attr(argument.number_attr)) if argument.number_attr else 1


@pytest.mark.parametrize(
    ("error", "wanted", "says"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), OutOfMemoryError, "too little memory for the frames"),
        (tf.errors.InternalError(None, None, "lost"), DeviceError, "cpu failed: lost"),
        (av.error.ExternalError(0, "no context"), DeviceError, "frames cannot stay on cpu: .*no context"),
        (ValueError("a stride"), DeviceError, "frames cannot stay on cpu: a stride"),
    ],
)
def test_failures_are_reported_in_a_line(
    emulated_gpu: None, monkeypatch: pytest.MonkeyPatch, error: Exception, wanted: type[Exception], says: str
) -> None:
    def fails(*_: Any) -> None:
        raise error

    copier = SurfaceCopier("cpu")
    monkeypatch.setattr(copier, "_copy", fails)
    with pytest.raises(wanted, match=says):
        list(copier([Frame(0, 0, as_nv12(noise(64, 64)))]))
