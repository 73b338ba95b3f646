"""The road of a frame, read top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .concurrency.group import BackgroundOpen, StageGroup, StageTimer, batched
from .engine import load_explainer
from .errors import StreamcamError
from .frames import ExplainedFrame, Frame, RgbImage, SourceInfo
from .options import Interpolation, Job
from .sinks import open_sink
from .sources import open_source
from .temporal import frame_selector, interpolate_maps, normalize_maps

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from .engine.explainer import FrameExplainer, PreparedSource
    from .sinks import Sink
    from .sources import Source

STAGES = ("decode", "model", "draw", "encode")


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of one input; the JSON of ``streamcam process``.

    Attributes:
        input, output: names of the files.
        frames_in: frames the source delivered.
        frames_out: frames written.
        frames_skipped: frames the source could not decode.
        frames_explained: frames written that the model looked at.
        frames_held: frames written that it did not look at; their maps come from those before and after them.
        wall_seconds: from opening the input to the output's end, the model's loading left out.
        startup_seconds: loading and compiling the model.
        fps: ``frames_out / wall_seconds``.
        stage_seconds: seconds each stage was busy; they overlap, so their sum may exceed the wall's.
        model, layer, method, precision, device, batch: what was computed, and how.
        decoder, encoder: what decoded and encoded, and where.
        frames_on: where the frames were between them: ``processor``, or the card on which they stayed.
        interrupted: True when the user ended it early.
        targets: what was explained, as asked for.
        quality_metrics: the largest of each figure by which the method tells the quality of its maps.
        notes: what the user was told.
    """

    input: str
    output: str
    frames_in: int
    frames_out: int
    frames_skipped: int
    frames_explained: int
    frames_held: int
    wall_seconds: float
    startup_seconds: float
    fps: float
    stage_seconds: dict[str, float]
    model: str
    layer: str
    method: str
    precision: str
    device: str
    batch: int
    decoder: str
    encoder: str
    frames_on: str
    interrupted: bool
    targets: tuple[str, ...]
    quality_metrics: dict[str, float]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


class Renderer(Protocol):
    """What draws frames."""

    def draw(self, item: ExplainedFrame) -> VideoFrame:
        """A new picture of a frame, with what the model says of it."""
        ...


class Interrupted(KeyboardInterrupt):
    """The user ended a run early; the output so far is closed and playable.

    Attributes:
        summary: of what was done until then.
    """

    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self.summary = summary


@dataclass(slots=True)
class _Counts:
    frames_in: int = 0
    frames_explained: int = 0


@dataclass(frozen=True, slots=True)
class RunCallbacks:
    """What a user interface may hear of a run; every part is optional.

    Attributes:
        on_open: called once with what the source is.
        on_ready: called once when the model is compiled and frames begin to flow.
        on_frame: called after each frame is written.
        on_pass: called with passes done and passes in all, for each batch of a method of many passes; in the model's
            thread.
        on_note: called with each one-line announcement, as soon as it is known.
    """

    on_open: Callable[[SourceInfo], None] = lambda info: None
    on_ready: Callable[[], None] = lambda: None
    on_frame: Callable[[ExplainedFrame], None] = lambda item: None
    on_pass: Callable[[int, int], None] = lambda done, total: None
    on_note: Callable[[str], None] = lambda line: None


def run(job: Job, *, explainer: FrameExplainer | None = None, callbacks: RunCallbacks | None = None) -> Summary:
    """Takes every frame of one input through model and brush into one output.

    Args:
        job: what to do.
        explainer: a loaded model to use instead of loading the job's, for several inputs in a row.
        callbacks: hears what happens.

    Raises:
        StreamcamError: something cannot be done; what was written until then is closed and playable.
        Interrupted: the user pressed Ctrl-C after the first frame; likewise.
    """
    callbacks = callbacks or RunCallbacks()
    timer, counts = StageTimer(), _Counts()
    start_time = time.perf_counter()
    interrupted = False
    gpu_requested = job.source.decoder == job.sink.encoder == "gpu"
    with timer("load"):
        unavailable_reason = _gpu_unavailable_reason(job, callbacks.on_note) if gpu_requested else ""
    keep_on_gpu = gpu_requested and not unavailable_reason
    with (
        BackgroundOpen(lambda: open_source(job.source, keep_on_gpu=keep_on_gpu)) as opening,
        contextlib.ExitStack() as stack,
    ):
        if explainer is None and not opening.wait(timeout_seconds=EAGER_OPEN_SECONDS):
            with timer("load"):
                explainer = load_explainer(job.model, job.explain, limit_threads=True)
        source = opening.result()
        sink = stack.enter_context(open_sink(job.sink, source.info))
        callbacks.on_open(source.info)
        every = AUTO_EVERY_ESTIMATE if job.temporal.every == "auto" else job.temporal.every
        with timer("load"):
            explainer = explainer or load_explainer(job.model, job.explain, limit_threads=True)
            prepared = explainer.prepare(source.info, every=every)
        startup_seconds = timer.seconds["load"]
        stages = (_gpu_stages if source.info.on_gpu else _cpu_stages)(job, source, explainer, prepared)
        replicas, batch = prepared.replicas, prepared.executable.batch
        max_length = min(batch * every, max(batch, MAX_BATCH_WAIT))
        interpolation: Interpolation = "hold" if source.info.live else job.temporal.interpolation
        notes: list[str] = []

        def add_note(line: str) -> None:
            notes.append(line)
            callbacks.on_note(line)

        def disable_replica(worker: int, error: StreamcamError) -> None:
            replicas[worker].failed = True
            add_note(f"{replicas[worker].device} is out: {error}; its frames go to the others")

        for note in prepared.notes:
            callbacks.on_note(note)
        if gpu_requested and not source.info.on_gpu:
            reason = unavailable_reason or "they are turned, odd, HDR, not 4:2:0 of 8 bits, or decoded by the processor"
            add_note(f"frames do not stay on the card: {reason}")
        if interpolation != job.temporal.interpolation:
            add_note(_LIVE_HOLD_NOTE)
        callbacks.on_ready()
        try:
            with StageGroup() as group:
                selected = timer.measure(
                    "decode", select_and_resize(stages.frames, stages.resizer, frame_selector(job.temporal), counts)
                )
                frames = group.prefetch(selected, depth=2 * max_length, name="decode", live=source.info.live)
                progress = functools.partial(_report_passes, group, callbacks)
                workers = explainer.workers(replicas, timer, progress, add_note)
                batches = batched(frames, batch, max_length=max_length)
                results = group.map_ordered(
                    batches, workers, depth=1, threads=prepared.concurrency, name="model", on_failure=disable_replica
                )
                interpolated = interpolate_maps(explainer.explain(results), interpolation, prepared.geometry, timer)
                normalized = normalize_maps(interpolated, job.temporal, explainer.display)
                rendered = group.prefetch(
                    render(normalized, stages.renderer, timer), depth=RENDER_QUEUE_DEPTH, name="draw"
                )
                # Not in this thread: an interrupt rises here, and must not rise between a picture and its count.
                for item in group.prefetch(encode(rendered, sink, timer, counts), depth=1, name="encode"):
                    callbacks.on_frame(item)
            sink.write_packets(source.tail)
        except KeyboardInterrupt:
            interrupted = True
            if not sink.num_frames:
                raise
    quality_metrics = {name: round(value, 4) for name, value in explainer.quality_metrics.items()}
    metric_notes = tuple(f"{explainer.method}: {name} at most {value:.1%}" for name, value in quality_metrics.items())
    final_notes = (*explainer.frame_errors[:MAX_REPORTED_ERRORS], *metric_notes, *source.notes, *sink.notes)
    for note in final_notes:
        add_note(note)
    wall_seconds = time.perf_counter() - start_time - startup_seconds
    summary = Summary(
        input=source.info.name,
        output=str(sink.path),
        frames_in=counts.frames_in,
        frames_out=sink.num_frames,
        frames_skipped=source.skipped,
        frames_explained=counts.frames_explained,
        frames_held=sink.num_frames - counts.frames_explained,
        wall_seconds=round(wall_seconds, 3),
        startup_seconds=round(startup_seconds, 3),
        fps=round(sink.num_frames / wall_seconds, 2),
        stage_seconds={stage: round(timer.seconds.get(stage, 0.0), 3) for stage in STAGES},
        model=explainer.info.name,
        layer=prepared.executable.layer,
        method=explainer.method,
        precision=prepared.executable.precision,
        device=prepared.device,
        batch=prepared.executable.batch,
        decoder=source.decoder,
        encoder=sink.encoder,
        frames_on=prepared.device if source.info.on_gpu else "cpu",
        interrupted=interrupted,
        targets=tuple(str(target) for target in job.explain.target),
        quality_metrics=quality_metrics,
        notes=(*prepared.notes, *notes),
    )
    if interrupted:
        raise Interrupted(summary)
    return summary


@dataclass(frozen=True, slots=True)
class _Stages:
    """Where it makes a difference in whose memory frames are."""

    frames: Iterable[Frame]
    resizer: Callable[[VideoFrame], RgbImage]
    renderer: Renderer


def _cpu_stages(job: Job, source: Source, explainer: FrameExplainer, prepared: PreparedSource) -> _Stages:
    from .compose import FrameRenderer
    from .sources.resize import InputResizer

    renderer = FrameRenderer(job.draw, source.info, prepared.geometry, **_renderer_options(explainer, prepared))
    return _Stages(source, InputResizer(prepared.geometry, source.info.color), renderer)


def _gpu_stages(job: Job, source: Source, explainer: FrameExplainer, prepared: PreparedSource) -> _Stages:
    from .gpu.frame_copy import SurfaceCopier
    from .gpu.renderer import GpuRenderer
    from .gpu.resizer import GpuResizer

    device = prepared.device
    renderer = GpuRenderer(
        job.draw, source.info, prepared.geometry, device=device, **_renderer_options(explainer, prepared)
    )
    return _Stages(SurfaceCopier(device)(source), GpuResizer(prepared.geometry, source.info.color, device), renderer)


def _renderer_options(explainer: FrameExplainer, prepared: PreparedSource) -> dict[str, Any]:
    detail, panels = prepared.caption_detail(explainer.method), len(explainer.targets)
    return {"detail": detail, "panels": panels, "display": explainer.display}


def _gpu_unavailable_reason(job: Job, add_note: Callable[[str], None]) -> str:
    """Why frames cannot stay on a card; what is wrong with the input is said first, for this takes seconds."""
    from .gpu import unavailable_reason
    from .sources.container import check_input

    check_input(job.source.url)
    return unavailable_reason(job, add_note)


MAX_REPORTED_ERRORS = 10
"""Frames that are named when the model fails on many."""

MAX_BATCH_WAIT = 8
"""Frames that may wait for one another where only some are explained."""

AUTO_EVERY_ESTIMATE = 4
"""With ``--every auto``, the batch is that of every 4th frame: a kernel's batch is always full or padded, and in still
scenes padding would cost what the held frames save. On a processor batches of 2 are 16 % slower a frame than of 8."""

_LIVE_HOLD_NOTE = "a live source cannot wait for the next explained frame: maps are held (--interpolation hold)"


def _report_passes(group: StageGroup, callbacks: RunCallbacks, done: int, total: int) -> None:
    group.raise_if_cancelled()
    callbacks.on_pass(done, total)


EAGER_OPEN_SECONDS = 0.5
"""Seconds in which a source opens that is no network's: what is wrong with it is said before a model is loaded."""

RENDER_QUEUE_DEPTH = 4
"""Pictures that may wait for the encoder: each is as large as a frame."""


def render(
    items: Iterable[ExplainedFrame], renderer: Renderer, timer: StageTimer
) -> Iterator[tuple[ExplainedFrame, VideoFrame]]:
    """Draws each frame."""
    for item in items:
        with timer("draw"):
            video_frame = renderer.draw(item)
        yield item, video_frame


def encode(
    rendered: Iterable[tuple[ExplainedFrame, VideoFrame]], sink: Sink, timer: StageTimer, counts: _Counts
) -> Iterator[ExplainedFrame]:
    """Encodes each picture."""
    for item, video_frame in rendered:
        with timer("encode"):
            sink.write(video_frame, item.frame.pts, item.frame.passthrough_packets)
        counts.frames_explained += not item.held
        yield item


def select_and_resize(
    frames: Iterable[Frame],
    resizer: Callable[[VideoFrame], RgbImage],
    is_selected: Callable[[Frame], bool],
    counts: _Counts,
) -> Iterator[Frame]:
    """Gives the frames that are to be explained the model's view of them, and each the time of its arrival."""
    for frame in frames:
        arrival_time = time.monotonic()
        counts.frames_in += 1
        model_input = resizer(frame.video_frame) if is_selected(frame) else None
        yield dataclasses.replace(frame, model_input=model_input, arrival_time=arrival_time)
