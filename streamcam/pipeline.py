"""Explain every frame of one input, or draw a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from . import stages
from .compose import render_ahead, renderer_count
from .concurrency.group import StageGroup, StageTimer
from .frames import ExplainedFrame, Frame, SourceInfo
from .job import Job, RenderJob
from .notes import collect_notes, get_logger
from .prepare import PreparedRun, prepare
from .prepare_render import PreparedRender, prepare_render
from .record import Record
from .run_record import find_finished
from .summary import RunTotals, Summary
from .temporal import zero_map_note

if TYPE_CHECKING:
    from .engine.explainer import FrameExplainer

logger = get_logger(__name__)
STAGES = ("decode", "model", "draw", "encode")
RENDER_QUEUE_DEPTH = 4
"""Drawn frames that may wait for the encoder: each is as large as a frame."""


class Interrupted(KeyboardInterrupt):
    """The user ended a run early; the output so far is closed and playable.

    Attributes:
        summary: summary of the frames until then.
    """

    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self.summary = summary


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class RunCallbacks:
    """Hooks for a user interface; every one is optional. Notes go through `logging` (see `streamcam.notes`).

    Attributes:
        on_open: called once with the properties of the source.
        on_ready: called once when the model is compiled and frames begin to flow.
        on_frame: called after each frame is written.
        on_pass: called with passes done and passes in all, for each batch of a method of many passes; in the model's
            thread.
        on_model_input: called with each frame that the model gets and its ``model_input``; in the decoder's thread.
        on_wait: called every 0.1 s while the caller's thread waits for a frame; may raise `KeyboardInterrupt`.
    """

    on_open: Callable[[SourceInfo], None] = _ignore
    on_ready: Callable[[], None] = _ignore
    on_frame: Callable[[ExplainedFrame], None] = _ignore
    on_pass: Callable[[int, int], None] = _ignore
    on_model_input: Callable[[Frame], None] | None = None
    on_wait: Callable[[], None] | None = None


Prepared: TypeAlias = PreparedRun | PreparedRender
"""A job with everything resolved."""


def run(
    job: Job | RenderJob, *, explainer: FrameExplainer | None = None, callbacks: RunCallbacks | None = None
) -> Summary:
    """Explain, draw and encode every frame of one input.

    Args:
        job: what to do; the maps of a `RenderJob` come from its record.
        explainer: a loaded model to use instead of loading the job's, for several inputs in a row.
        callbacks: hooks for a user interface.

    Raises:
        StreamcamError: the job cannot be done; the output so far is closed and playable.
        Interrupted: the user pressed Ctrl-C after the first frame; likewise.
    """
    callbacks = callbacks or RunCallbacks()
    if isinstance(job, Job) and (record := find_finished(job)):
        return _summarize_finished(job, record)
    timer, totals, notes = StageTimer(), RunTotals(), list[str]()
    start_time = time.perf_counter()
    interrupted = False
    prepared: Prepared | None = None
    with collect_notes(notes.append):
        try:
            with _prepare(job, explainer, timer, callbacks.on_open) as prepared:
                startup_seconds = timer.seconds["load"]
                callbacks.on_ready()
                try:
                    with StageGroup() as group:
                        for item in _start(prepared, group, timer, totals, callbacks):
                            callbacks.on_frame(item)
                    prepared.finish()
                except KeyboardInterrupt:
                    interrupted = True  # the block's end completes the output
        except KeyboardInterrupt:
            interrupted = True  # while the output was completed
        if prepared is None or (interrupted and not prepared.sink.num_frames):
            raise KeyboardInterrupt
        _log_findings(prepared, totals)
    wall_seconds = time.perf_counter() - start_time - startup_seconds
    summary = _summarize(prepared, timer, totals, notes, wall_seconds, interrupted=interrupted)
    if interrupted:
        raise Interrupted(summary)
    return summary


def _prepare(
    job: Job | RenderJob,
    explainer: FrameExplainer | None,
    timer: StageTimer,
    on_open: Callable[[SourceInfo], None],
) -> AbstractContextManager[Prepared]:
    if isinstance(job, RenderJob):
        return prepare_render(job, timer=timer, on_open=on_open)
    return prepare(job, explainer=explainer, timer=timer, on_open=on_open)


def _start(
    prepared: Prepared, group: StageGroup, timer: StageTimer, totals: RunTotals, callbacks: RunCallbacks
) -> Iterator[ExplainedFrame]:
    """Write chunks that are encoded already, then start all stages; yield the written frames.

    Encoding also runs in its own thread: Python raises an interrupt in the caller's thread, and it must not come
    between writing a frame and counting it.
    """
    info, num_targets = prepared.info, len(prepared.targets)
    stored = totals.count_written(((item, True) for item in prepared.write_stored()), prepared.map_kind)
    for item in group.prefetch(stored, depth=1, name="encode", on_wait=callbacks.on_wait):
        totals.frames_in += 1
        totals.frames_stored += 1
        yield item
    # A drawn frame travels with the frame it was drawn on; a strip has a panel for each target.
    drawn_depth = stages.prefetch_depth(RENDER_QUEUE_DEPTH, info, frames_per_item=2 + num_targets)
    renderers = [
        stages.make_renderer(
            prepared.job.draw,
            info,
            prepared.geometry,
            prepared.device,
            facts=prepared.facts,
            panels=num_targets,
            map_kind=prepared.map_kind,
        )
        for _ in range(renderer_count(info, drawn_depth))
    ]

    def report_passes(done: int, total: int) -> None:
        group.raise_if_cancelled()
        callbacks.on_pass(done, total)

    frames = totals.count_read(stages.read_frames(prepared.source, prepared.device))
    normalized = prepared.explained_frames(frames, group, timer, report_passes, callbacks.on_model_input)
    if len(renderers) == 1:
        rendered = group.prefetch(stages.render(normalized, renderers[0], timer), depth=drawn_depth, name="draw")
    else:
        draws = [renderer.draw for renderer in renderers]
        rendered = render_ahead(normalized, draws, group, timer, depth=drawn_depth)
    written = totals.count_written(stages.encode(rendered, prepared.sink, timer), prepared.map_kind)
    yield from group.prefetch(written, depth=1, name="encode", on_wait=callbacks.on_wait)


def _log_findings(prepared: Prepared, totals: RunTotals) -> None:
    """Log the findings of the whole run."""
    for error in totals.errors:
        logger.warning("%s", error)
    if note := zero_map_note(prepared.method, totals.frames_zero_map, totals.frames_explained):
        logger.warning("%s", note)
    for name, value in totals.rounded_metrics.items():
        logger.info("%s: %s at most %s", prepared.method, name, f"{value:.1%}")
    for note in (*prepared.source.notes, *prepared.sink.notes):
        logger.info("%s", note)


_RESOLVED = (
    "input",
    "output",
    "model",
    "preprocess",
    "layer",
    "method",
    "precision",
    "device",
    "batch",
    "decoder",
    "encoder",
    "frames_on",
    "targets",
    "record",
)
"""Facts that the summary takes from `PreparedRun.to_dict`."""


def _summarize(
    prepared: Prepared,
    timer: StageTimer,
    totals: RunTotals,
    notes: list[str],
    wall_seconds: float,
    *,
    interrupted: bool,
) -> Summary:
    num_frames, facts = prepared.sink.num_frames, prepared.to_dict()
    resolved: dict[str, Any] = {name: facts[name] for name in _RESOLVED}
    return Summary(
        **resolved,
        frames_in=totals.frames_in,
        frames_out=num_frames,
        frames_skipped=prepared.source.skipped,
        frames_explained=totals.frames_explained,
        frames_zero_map=totals.frames_zero_map,
        frames_held=totals.frames_held,
        wall_seconds=round(wall_seconds, 3),
        startup_seconds=round(timer.seconds["load"], 3),
        fps=round(max(0, num_frames - totals.frames_stored) / wall_seconds, 2),
        stage_seconds={stage: round(timer.seconds.get(stage, 0.0), 3) for stage in STAGES},
        encoders=prepared.sink.num_encoders,
        interrupted=interrupted,
        quality_metrics=totals.rounded_metrics,
        notes=tuple(notes),
    )


def _summarize_finished(job: Job, record: Record) -> Summary:
    """Return the summary of a run that was complete before."""
    note = f"{job.sink.path} is complete: nothing to do"
    logger.info("%s", note)
    facts = {name: record.manifest.run.get(name, "") for name in _RESOLVED}
    explained = sum(not one.held for one in record)
    return Summary(
        **facts | {"output": str(job.sink.path), "record": str(record.path), "targets": tuple(facts["targets"])},
        frames_in=len(record),
        frames_out=len(record),
        frames_skipped=0,
        frames_explained=explained,
        frames_zero_map=0,
        frames_held=len(record) - explained,
        wall_seconds=0.0,
        startup_seconds=0.0,
        fps=0.0,
        stage_seconds=dict.fromkeys(STAGES, 0.0),
        encoders=None,
        interrupted=False,
        quality_metrics={},
        notes=(note,),
    )
