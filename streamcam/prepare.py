"""Resolve all choices of a job before its first frame."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from .chunks import max_chunk_frames, plan_run
from .compose import drawn_info
from .concurrency.group import BackgroundOpen, StageGroup, StageTimer
from .engine import load_explainer
from .frames import CaptionFacts, ExplainedFrame, Frame, MapKind, SourceInfo
from .geometry import Geometry
from .job import Job
from .notes import get_logger
from .options import Interpolation
from .recording import interpolate, make_manifest, recorded_source
from .run_record import RunRecord, open_run_record
from .sinks import open_sink
from .sources import open_source
from .stages import explain_source, gpu_unavailable_reason, normalize_maps, queue_depth, read_frames
from .temporal import choose_interpolation, estimate_every

if TYPE_CHECKING:
    from .engine.explainer import FrameExplainer
    from .engine.multi_pass import Progress
    from .engine.prepared_source import PreparedSource
    from .sinks import Sink
    from .sources import Source

logger = get_logger(__name__)

EAGER_OPEN_SECONDS = 0.5
"""Seconds to wait for a source before the model is loaded. Local sources open sooner, and their errors come first."""

MAX_BATCH_WAIT = 8
"""Frames that may wait for one another if only some are explained."""

_LIVE_HOLD_NOTE = "a live source cannot wait for the next explained frame: maps are held (--interpolation hold)"
_Explain: TypeAlias = Callable[[Iterable[Frame]], Iterator[ExplainedFrame]]
_NOT_ON_GPU_REASON = "they are rotated, odd-sized, HDR, not 8-bit 4:2:0, or decoded by the CPU"


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRun:
    """A job with everything resolved: what `streamcam.pipeline.run` executes.

    Attributes:
        job: the requested job.
        source: the input, open.
        sink: the output, open; its file is created with the first frame.
        explainer: the model with its method.
        compiled: the method compiled for this source, on each device.
        interpolation: for frames that are not explained; ``hold`` for a live source.
        batch: frames with a model input in a batch.
        max_batch_length: frames in a batch, those that are not explained included.
        recording: the record; None without one.
    """

    job: Job
    source: Source
    sink: Sink
    explainer: FrameExplainer
    compiled: PreparedSource
    interpolation: Interpolation
    batch: int
    max_batch_length: int
    recording: RunRecord | None = None

    @property
    def info(self) -> SourceInfo:
        """Properties of the source."""
        return self.source.info

    @property
    def geometry(self) -> Geometry:
        """How frames are fitted into the model's input."""
        return self.compiled.geometry

    @property
    def device(self) -> str:
        """The devices that have not failed, as ``--device`` takes them."""
        return self.compiled.device

    @property
    def frames_on(self) -> str:
        """``cpu``, or the GPU in whose memory frames stay."""
        return self.device if self.info.on_gpu else "cpu"

    @property
    def method(self) -> str:
        """Name of the explanation method."""
        return self.explainer.method

    @property
    def map_kind(self) -> MapKind:
        """How the maps are shown."""
        return self.explainer.map_kind

    @property
    def facts(self) -> CaptionFacts:
        """Names for captions."""
        return self.compiled.caption_facts(self.explainer.method, self.explainer.targets, self.explainer.info)

    def explained_frames(
        self,
        frames: Iterable[Frame],
        group: StageGroup,
        timer: StageTimer,
        progress: Progress | None = None,
        on_model_input: Callable[[Frame], None] | None = None,
    ) -> Iterator[ExplainedFrame]:
        """Explain the frames of the source, with normalised maps.

        Args:
            frames: of the source, in order.
            group: owns the threads.
            timer: counts the time of each stage.
            progress: called with passes done and passes in all, for methods of many passes.
            on_model_input: called with each frame that the model gets, in the decoder's thread.
        """
        explain = functools.partial(
            explain_source,
            info=self.info,
            explainer=self.explainer,
            compiled=self.compiled,
            temporal=self.job.temporal,
            group=group,
            timer=timer,
            max_batch_length=self.max_batch_length,
            progress=progress,
            on_model_input=on_model_input,
        )
        if self.recording is None:
            return explain(frames, interpolation=self.interpolation)
        record = functools.partial(explain, interpolation=None, recorder=self.recording.writer)
        explained = functools.partial(
            self.recording.explained,
            explain=record,
            info=self.info,
            temporal=self.job.temporal,
            group=group,
            timer=timer,
        )
        if self.job.temporal.scale == "stream":
            return self._record_first(frames, explained, group, timer)
        interpolated = interpolate(explained(frames), self.info, self.geometry, timer, self.interpolation)
        peaks = self.recording.running_peaks
        return self.recording.watch(normalize_maps(interpolated, self.job.temporal, self.map_kind, running_peaks=peaks))

    def _record_first(
        self,
        frames: Iterable[Frame],
        explained: Callable[..., Iterator[ExplainedFrame]],
        group: StageGroup,
        timer: StageTimer,
    ) -> Iterator[ExplainedFrame]:
        """Record the source, opened once more, then yield the frames given."""
        assert self.recording is not None
        logger.info("--scale stream: all frames are explained before the first one is drawn")
        with open_source(self.job.source, keep_on_gpu=self.info.on_gpu) as source:
            for _ in explained(read_frames(source, self.device)):
                group.raise_if_cancelled()
        record, targets = self.recording.finish_record(), range(len(self.targets))
        yield from recorded_source(
            frames, self.info, record, self.job.temporal, timer, interpolation=self.interpolation, targets=targets
        )

    def write_stored(self) -> Iterator[ExplainedFrame]:
        """Write chunks that are encoded already; yield their frames, without images."""
        return iter(()) if self.recording is None else self.recording.write_stored()

    def finish(self) -> None:
        """Write what comes after the last frame; the output is complete once it is closed."""
        self.sink.write_packets(self.source.trailing_packets)
        if self.recording is not None:
            self.recording.is_written = True

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, as requested."""
        return tuple(str(target) for target in self.job.explain.target)

    def to_dict(self) -> dict[str, object]:
        """Return the resolved facts as plain values for JSON."""
        info, executable, rate = self.info, self.compiled.executable, self.info.average_fps
        return {
            "input": info.name,
            "output": str(self.sink.path),
            "size": list(self.geometry.source),
            "average_fps": None if rate is None else round(float(rate), 3),
            "num_frames": info.num_frames,
            "duration_seconds": info.duration_seconds,
            "live": info.live,
            "decoder": self.source.decoder,
            "encoder": self.sink.encoder,
            "frames_on": self.frames_on,
            "model": self.explainer.info.name,
            "preprocess": self.explainer.info.preprocess_summary,
            "model_input": list(self.geometry.input),
            "layer": executable.layer,
            "method": self.explainer.method,
            "targets": self.targets,
            "precision": executable.precision,
            "device": self.device,
            "batch": executable.batch,
            "interpolation": self.interpolation,
            "record": None if self.job.sink.record_path is None else str(self.job.sink.record_path),
            "notes": list(self.compiled.notes),
        }


def max_batch_length(batch: int, every: int, info: SourceInfo) -> int:
    """Return how many frames a batch may hold, held ones included.

    Args:
        batch: frames that the model explains at once.
        every: one frame in ``every`` is explained.
        info: the source of the frames.
    """
    return queue_depth(min(batch * every, max(batch, MAX_BATCH_WAIT)), info)


@contextlib.contextmanager
def prepare(
    job: Job,
    *,
    explainer: FrameExplainer | None = None,
    timer: StageTimer | None = None,
    on_open: Callable[[SourceInfo], None] | None = None,
    one_compiler: bool = False,
) -> Iterator[PreparedRun]:
    """Open input and output, load the model and compile the method.

    The end of the block closes all of them. Cheap checks come first: input and output are checked before the model
    is loaded. A network source that is slow to open continues to open while the model loads.

    Args:
        job: what to do.
        explainer: a loaded model to use instead of the job's, for several inputs in a row.
        timer: counts the time of the GPU self-test, of loading and of compiling, as ``load``.
        on_open: called once with the properties of the source.
        one_compiler: as for `FrameExplainer.prepare`; True if the job keeps a record.

    Raises:
        StreamcamError: the job cannot be done.
    """
    timer = timer or StageTimer()
    gpu_requested = "cpu" not in (job.source.decoder, job.sink.encoder)
    with timer("load"):
        unavailable_reason = gpu_unavailable_reason(job) if gpu_requested else ""
    keep_on_gpu = gpu_requested and not unavailable_reason
    with (
        BackgroundOpen(lambda: open_source(job.source, keep_on_gpu=keep_on_gpu)) as opening,
        contextlib.ExitStack() as stack,
    ):

        def open_both() -> tuple[Source, Sink, RunRecord | None]:
            source = opening.result()
            recording = open_run_record(job, source.info, stack)
            options = job.sink if recording is None else recording.sink_options(job.sink)
            sink = stack.enter_context(open_sink(options, drawn_info(job.draw, source.info, len(job.explain.target))))
            if on_open is not None:
                on_open(source.info)
            return source, sink, recording

        early = open_both() if explainer or opening.wait(timeout_seconds=EAGER_OPEN_SECONDS) else None
        with timer("load"):
            explainer = explainer or load_explainer(job.model, job.explain, limit_threads=True)
        source, sink, recording = early or open_both()
        every = estimate_every(job.temporal)
        with timer("load"):
            compiled = explainer.prepare(source.info, every=every, one_compiler=one_compiler or recording is not None)
        for note in compiled.notes:
            logger.info("%s", note)
        if gpu_requested and not source.info.on_gpu:
            logger.info("frames do not stay on the GPU: %s", unavailable_reason or _NOT_ON_GPU_REASON)
        interpolation = choose_interpolation(source.info, job.temporal)
        if interpolation != job.temporal.interpolation:
            logger.info(_LIVE_HOLD_NOTE)
        prepared = PreparedRun(
            job=job,
            source=source,
            sink=sink,
            explainer=explainer,
            compiled=compiled,
            interpolation=interpolation,
            batch=compiled.executable.batch,
            max_batch_length=max_batch_length(compiled.executable.batch, every, source.info),
        )
        if recording is not None:
            manifest = make_manifest(job, source.info, explainer, compiled, prepared.to_dict())
            max_frames = max_chunk_frames(compiled.geometry, explainer.map_kind, len(prepared.targets))
            plan = plan_run(job.source, job.temporal, max_frames)
            prepared = replace(prepared, recording=recording, source=recording.start(manifest, plan, source, sink))
            stack.enter_context(recording.writer)
        yield prepared
