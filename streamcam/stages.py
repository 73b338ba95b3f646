"""The stages of a pipeline, as generators: frames in, frames out.

    read_frames → select_and_resize → batched → explain → record → interpolate_maps → normalize_maps → render → encode

Each stage takes an iterable and passes items on in order, so a stage can be dropped, replaced, or run ahead in
its own thread (`StageGroup.prefetch`). Results of a stage travel with the frame. Of the pipeline, only this module
imports `gpu`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from .concurrency.group import StageGroup, StageTimer
from .errors import StreamcamError
from .frames import Batch, CaptionFacts, ExplainedFrame, Frame, MapKind, RgbImage, SourceInfo
from .geometry import Geometry
from .job import Job
from .options import DrawOptions, Interpolation, TemporalOptions
from .temporal import MAX_HOLD_FRAMES, frame_selector, interpolate_maps, normalize_maps

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .engine.explainer import FrameExplainer
    from .engine.multi_pass import Progress
    from .engine.prepared_source import PreparedSource
    from .record import RecordWriter
    from .sinks import Sink
    from .sources import Source

__all__ = [
    "Renderer", "batched", "encode", "explain", "explain_source", "frame_selector", "gpu_unavailable_reason",
    "interpolate_maps", "make_renderer", "make_resizer", "normalize_maps", "prefetch_depth", "queue_depth",
    "read_frames", "render", "select_and_resize",
]  # fmt: skip


MAX_QUEUE_BYTES = 256 << 20
"""Bytes of the frames in a queue or batch: 86 frames of 1080p, 5 of 8K UHD."""

LARGE_FRAME_BYTES = 64 << 20
"""Queues of larger frames take half of it, as decoder and encoder hold many more: one frame of 66 million pixels."""

MAX_WAITING_BYTES = 1 << 30
"""Bytes of the frames that wait for the next explained one: `MAX_HOLD_FRAMES` of 8K UHD, to interpolate as asked."""


class Renderer(Protocol):
    """Draws maps on frames."""

    def draw(self, item: ExplainedFrame) -> VideoFrame:
        """Return a new video frame with maps and caption."""
        ...


def read_frames(source: Source, device: str) -> Iterable[Frame]:
    """Return the source's frames, GPU frames copied from the decoder's surfaces.

    Args:
        source: an open source.
        device: device of the model, and of frames in GPU memory.
    """
    if not source.info.on_gpu:
        return source
    from .gpu.frame_copy import SurfaceCopier

    return SurfaceCopier(device)(source)


def queue_depth(wanted: int, info: SourceInfo, *, frames_per_item: int = 1, max_bytes: int = MAX_QUEUE_BYTES) -> int:
    """Return how many items may wait in a queue: as wanted, or as many as its memory allows.

    Args:
        wanted: items, at least 1.
        info: the source of their frames.
        frames_per_item: frames of the source's size that an item holds.
        max_bytes: memory of the queue.
    """
    if info.frame_bytes > LARGE_FRAME_BYTES:
        max_bytes //= 2
    return max(1, min(wanted, max_bytes // (frames_per_item * info.frame_bytes)))


def prefetch_depth(wanted: int, info: SourceInfo, *, frames_per_item: int = 1) -> int:
    """Return the depth of a queue as `queue_depth`; 0 for large frames, whose stages take turns.

    A queue of one frame holds three: one waits, and both its stages have one in hand.
    """
    if info.frame_bytes > LARGE_FRAME_BYTES:
        return 0
    return queue_depth(wanted, info, frames_per_item=frames_per_item)


def make_resizer(info: SourceInfo, geometry: Geometry, device: str) -> Callable[[VideoFrame], RgbImage]:
    """Return a resizer to the model's input for the frames' memory."""
    if info.on_gpu:
        from .gpu.resizer import GpuResizer

        return GpuResizer(geometry, info.color, device)
    from .sources.resize import InputResizer

    return InputResizer(geometry, info.color)


def make_renderer(
    options: DrawOptions,
    info: SourceInfo,
    geometry: Geometry,
    device: str,
    *,
    facts: CaptionFacts,
    panels: int = 1,
    map_kind: MapKind = "heat",
) -> Renderer:
    """Return a renderer for the frames' memory; options as in `FrameRenderer`."""
    if info.on_gpu:
        from .gpu.renderer import GpuRenderer

        return GpuRenderer(options, info, geometry, facts=facts, device=device, panels=panels, map_kind=map_kind)
    from .compose import FrameRenderer

    return FrameRenderer(options, info, geometry, facts=facts, panels=panels, map_kind=map_kind)


def gpu_unavailable_reason(job: Job) -> str:
    """Return why frames cannot stay on the GPU; empty if they can.

    Raises:
        SourceError: the input does not exist; checked before the GPU self-test, which takes seconds.
    """
    from .gpu import unavailable_reason
    from .sources.container import check_input

    check_input(job.source.url)
    return unavailable_reason(job)


def select_and_resize(
    frames: Iterable[Frame],
    resizer: Callable[[VideoFrame], RgbImage],
    is_selected: Callable[[Frame], bool],
    on_model_input: Callable[[Frame], None] | None = None,
) -> Iterator[Frame]:
    """Add the model's input to selected frames; arrival times to all."""
    for frame in frames:
        arrival_time = time.monotonic()
        model_input = resizer(frame.model_source) if is_selected(frame) else None
        resized = replace(frame, model_input=model_input, arrival_time=arrival_time)
        if model_input is not None and on_model_input is not None:
            on_model_input(resized)
        yield resized


def batched(frames: Iterable[Frame], size: int, *, max_length: int) -> Iterator[Batch]:
    """Group frames into batches.

    If the source fails, the frames read before are still delivered, then the error is raised.

    Args:
        frames: frames in order.
        size: most frames with a model input in a batch.
        max_length: most frames in a batch.
    """
    batch: list[Frame] = []
    num_inputs = 0
    try:
        for frame in frames:
            if batch and (num_inputs + (frame.model_input is not None) > size or len(batch) == max_length):
                yield tuple(batch)
                batch, num_inputs = [], 0
            batch.append(frame)
            num_inputs += frame.model_input is not None
    except Exception:
        if batch:
            yield tuple(batch)
        raise
    if batch:
        yield tuple(batch)


def explain(
    batches: Iterable[Batch],
    explainer: FrameExplainer,
    prepared: PreparedSource,
    group: StageGroup,
    timer: StageTimer,
    progress: Progress | None = None,
    before: ExplainedFrame | None = None,
) -> Iterator[ExplainedFrame]:
    """Explain batches on all devices; a device that fails is disabled.

    Args:
        batches: as from `batched`.
        explainer: the model with its method.
        prepared: as from ``explainer.prepare``.
        group: owns the threads.
        timer: counts the time as ``model``.
        progress: called with passes done and passes in all, for methods of many passes.
        before: the frame before them, whose maps the first ones hold until one is explained.
    """
    from .engine.results import hold_between

    replicas = prepared.replicas

    def disable(worker: int, error: StreamcamError) -> None:
        prepared.pool.disable(replicas[worker].device, error)

    workers = explainer.workers(replicas, timer, progress)
    results = group.map_ordered(
        batches, workers, depth=1, threads=prepared.concurrency, name="model", on_failure=disable
    )
    return hold_between(results, before)


def explain_source(
    frames: Iterable[Frame],
    info: SourceInfo,
    explainer: FrameExplainer,
    compiled: PreparedSource,
    temporal: TemporalOptions,
    group: StageGroup,
    timer: StageTimer,
    *,
    interpolation: Interpolation | None,
    max_batch_length: int,
    progress: Progress | None = None,
    recorder: RecordWriter | None = None,
    on_model_input: Callable[[Frame], None] | None = None,
    is_selected: Callable[[Frame], bool] | None = None,
    before: ExplainedFrame | None = None,
) -> Iterator[ExplainedFrame]:
    """Return a source's frames with normalised maps: all stages from `select_and_resize` to `normalize_maps`.

    Args:
        frames: the frames of the source.
        info: properties of the source.
        explainer: the model with its method.
        compiled: as from ``explainer.prepare``.
        temporal: selection and normalisation.
        group: owns the threads.
        timer: counts the time as ``decode`` and ``model``.
        interpolation: for the frames between explained ones; None for raw maps, neither interpolated nor normalised.
        max_batch_length: most frames in a batch.
        progress: as for `explain`.
        recorder: records the frames before they are interpolated; None records nothing.
        on_model_input: called with each frame that the model gets, in the decoder's thread; None costs nothing.
        is_selected: returns whether to explain a frame; None for ``temporal``.
        before: as for `explain`.
    """
    resizer = make_resizer(info, compiled.geometry, compiled.device)
    selected = select_and_resize(frames, resizer, is_selected or frame_selector(temporal), on_model_input)
    read_ahead = group.prefetch(
        timer.measure("decode", selected),
        depth=prefetch_depth(2 * max_batch_length, info),
        name="decode",
        live=info.live,
    )
    batches = batched(read_ahead, compiled.executable.batch, max_length=max_batch_length)
    explained = explain(batches, explainer, compiled, group, timer, progress, before)
    if recorder is not None:
        explained = recorder.record(explained)
    if interpolation is None:
        return explained
    interpolated = interpolate_maps(
        explained,
        interpolation,
        compiled.geometry,
        timer,
        max_waiting=queue_depth(MAX_HOLD_FRAMES, info, max_bytes=MAX_WAITING_BYTES),
    )
    return normalize_maps(interpolated, temporal, explainer.map_kind)


def render(
    items: Iterable[ExplainedFrame], renderer: Renderer, timer: StageTimer
) -> Iterator[tuple[ExplainedFrame, VideoFrame]]:
    """Draw each frame; the time counts as ``draw``."""
    for item in items:
        with timer("draw"):
            video_frame = renderer.draw(item)
        yield item, video_frame
        del item, video_frame  # the next ones may need their memory


def encode(
    rendered: Iterable[tuple[ExplainedFrame, VideoFrame]], sink: Sink, timer: StageTimer
) -> Iterator[tuple[ExplainedFrame, bool]]:
    """Write each drawn frame, and say if the sink kept it; the time counts as ``encode``."""
    for item, video_frame in rendered:
        with timer("encode"):
            frame = item.frame
            is_written = sink.write(video_frame, frame.pts, frame.passthrough_packets, starts_chunk=frame.starts_chunk)
        del frame, video_frame  # the next ones may need their memory
        yield item, is_written
