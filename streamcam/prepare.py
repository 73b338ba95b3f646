"""Resolve all choices of a job before its first frame."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .compose import drawn_info
from .concurrency.group import BackgroundOpen, StageGroup, StageTimer
from .engine import load_explainer
from .frames import CaptionFacts, ExplainedFrame, Frame, MapKind, SourceInfo
from .geometry import Geometry
from .job import Job
from .notes import get_logger
from .options import Interpolation, TemporalOptions
from .record import RecordFolder, RecordWriter, open_record
from .recording import check_folder, make_manifest, recorded_source
from .sinks import open_sink
from .sources import open_source
from .stages import explain_source, gpu_unavailable_reason, queue_depth, read_frames

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

AUTO_EVERY_ESTIMATE = 4
"""With ``--every auto``, the batch is that of every 4th frame: a batch is always full or padded, and in still scenes
padding would cancel the savings of held frames. On a CPU, batches of 2 are 16 % slower a frame than batches of 8."""

_LIVE_HOLD_NOTE = "a live source cannot wait for the next explained frame: maps are held (--interpolation hold)"
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
        recorder: writes the record; None without one.
    """

    job: Job
    source: Source
    sink: Sink
    explainer: FrameExplainer
    compiled: PreparedSource
    interpolation: Interpolation
    batch: int
    max_batch_length: int
    recorder: RecordWriter | None = None

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
            recorder=self.recorder,
            on_model_input=on_model_input,
        )
        if self.job.temporal.scale == "stream":
            return self._record_first(frames, explain, group, timer)
        return explain(frames, interpolation=self.interpolation)

    def _record_first(
        self,
        frames: Iterable[Frame],
        explain: Callable[..., Iterator[ExplainedFrame]],
        group: StageGroup,
        timer: StageTimer,
    ) -> Iterator[ExplainedFrame]:
        """Record all frames, then yield those given with their maps.

        The source is opened once more for that.
        """
        assert self.recorder is not None
        logger.info("--scale stream: all frames are explained before the first one is drawn")
        with open_source(self.job.source, keep_on_gpu=self.info.on_gpu) as source:
            for _ in explain(read_frames(source, self.device), interpolation=None):
                group.raise_if_cancelled()
        self.recorder.finish()
        yield from recorded_source(
            frames,
            self.info,
            open_record(self.recorder.path),
            self.job.temporal,
            timer,
            interpolation=self.interpolation,
            targets=range(len(self.targets)),
        )

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


def estimate_every(temporal: TemporalOptions) -> int:
    """Return one in how many frames is explained; an estimate for ``--every auto``."""
    return AUTO_EVERY_ESTIMATE if temporal.every == "auto" else temporal.every


def max_batch_length(batch: int, every: int, info: SourceInfo) -> int:
    """Return how many frames a batch may hold, held ones included.

    Args:
        batch: frames that the model explains at once.
        every: one frame in ``every`` is explained.
        info: the source of the frames.
    """
    return queue_depth(min(batch * every, max(batch, MAX_BATCH_WAIT)), info)


def choose_interpolation(info: SourceInfo, temporal: TemporalOptions) -> Interpolation:
    """Return how maps are interpolated: a live source cannot wait for the next one."""
    return "hold" if info.live else temporal.interpolation


@contextlib.contextmanager
def prepare(
    job: Job,
    *,
    explainer: FrameExplainer | None = None,
    timer: StageTimer | None = None,
    on_open: Callable[[SourceInfo], None] | None = None,
) -> Iterator[PreparedRun]:
    """Open input and output, load the model and compile the method.

    The end of the block closes all of them. Cheap checks come first: input and output are checked before the model
    is loaded. A network source that is slow to open continues to open while the model loads.

    Args:
        job: what to do.
        explainer: a loaded model to use instead of the job's, for several inputs in a row.
        timer: counts the time of the GPU self-test, of loading and of compiling, as ``load``.
        on_open: called once with the properties of the source.

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

        def open_both() -> tuple[Source, Sink, RecordFolder | None]:
            source = opening.result()
            info = drawn_info(job.draw, source.info, len(job.explain.target))
            sink = stack.enter_context(open_sink(job.sink, info))
            folder = check_folder(job, source.info, stack)
            if on_open is not None:
                on_open(source.info)
            return source, sink, folder

        is_open = explainer is not None or opening.wait(timeout_seconds=EAGER_OPEN_SECONDS)
        early = open_both() if is_open else None
        with timer("load"):
            explainer = explainer or load_explainer(job.model, job.explain, limit_threads=True)
        source, sink, folder = early or open_both()
        every = estimate_every(job.temporal)
        with timer("load"):
            compiled = explainer.prepare(source.info, every=every, one_compiler=folder is not None)
        for note in compiled.notes:
            logger.info("%s", note)
        if gpu_requested and not source.info.on_gpu:
            logger.info("frames do not stay on the GPU: %s", unavailable_reason or _NOT_ON_GPU_REASON)
        interpolation = choose_interpolation(source.info, job.temporal)
        if interpolation != job.temporal.interpolation:
            logger.info(_LIVE_HOLD_NOTE)
        batch = compiled.executable.batch
        prepared = PreparedRun(
            job=job,
            source=source,
            sink=sink,
            explainer=explainer,
            compiled=compiled,
            interpolation=interpolation,
            batch=batch,
            max_batch_length=max_batch_length(batch, every, source.info),
        )
        if folder is not None:
            recorder = stack.enter_context(
                RecordWriter(folder, make_manifest(job, source.info, explainer, compiled, prepared.to_dict()))
            )
            prepared = replace(prepared, recorder=recorder)
        yield prepared
