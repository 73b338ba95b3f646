"""The results of a run on a cluster: on the disk of the driver, and which tasks follow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..begun_output import describe_run, is_same_format, with_output
from ..chunks import max_chunk_frames, plan_run
from ..errors import StreamcamError
from ..frames import FrameRange
from ..job import Job
from ..notes import get_logger
from ..record import Manifest, Record, RecordFolder, SourceIdentity
from ..record.compare import find_other_versions
from ..summary import Summary
from ..temporal import max_peaks, zero_map_note
from .scale_pass import ScalePass
from .schedule import Schedule, Step, Task
from .storage import ChunkStorage
from .values import Drawn, DrawTask, Explained, WorkerFacts, unpack_chunk

if TYPE_CHECKING:
    from ..sinks.segments import Segment

logger = get_logger(__name__)

_SUMMARY_FACTS = ("model", "preprocess", "layer", "method", "precision", "device", "batch")

_MODEL_FACTS = ("method", "layer", "geometry", "targets")
"""Fields of a manifest that a worker must agree on with the record that it continues."""


class NoPlanError(Exception):
    """The source has no chunks that can be made on their own."""


class Results:
    """The chunks of a run.

    Args:
        job: with local files.
        folder: of the record.
        recorded: the record that is continued; None for a new one.
        draws: the workers draw and encode chunks too.
        on_progress: called with the frames done and in all.
        takes_segment: returns True if a stored segment can be a part of the output; None: all can.

    Attributes:
        schedule: the tasks; none before a worker has prepared.
        plan: the chunks; none before a worker has prepared.
    """

    def __init__(
        self,
        job: Job,
        folder: RecordFolder,
        recorded: Record | None,
        *,
        draws: bool,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
        takes_segment: Callable[[Segment], bool] | None = None,
    ) -> None:
        self._job, self._folder, self._recorded, self._draws = job, folder, recorded, draws
        self._on_progress, self._takes_segment = on_progress, takes_segment
        self._facts: WorkerFacts | None = None
        self._scale: ScalePass
        self.storage: ChunkStorage
        self.plan: tuple[FrameRange, ...] = ()
        self.schedule = Schedule((), draws=draws)
        self._seconds: dict[str, float] = {"explain": 0.0, "draw": 0.0}
        self._num_stored = 0
        self._started = time.perf_counter()

    @property
    def is_complete(self) -> bool:
        """True when all chunks are done."""
        return self._facts is not None and self.schedule.is_complete

    def fix_choices(self, job: Job) -> Job:
        """Return the job with the precision and batch of the run."""
        if self._facts is not None:
            chosen: dict[str, Any] = {"precision": self._facts.precision, "batch": self._facts.batch}
        elif self._recorded is not None:
            chosen = {name: self._recorded.manifest.run[name] for name in ("precision", "batch")}
        else:
            return job
        return replace(job, explain=replace(job.explain, **chosen))

    def adopt(self, facts: WorkerFacts) -> bool:
        """Take the facts of a worker; the first one begins the run.

        Returns:
            False if the worker must prepare again, with the choices of the others.

        Raises:
            StreamcamError: the record that is continued was made with another model.
        """
        if self._facts is None:
            self._begin(facts)
            self._facts = facts
        return (facts.precision, facts.batch) == (self._facts.precision, self._facts.batch)

    def _begin(self, facts: WorkerFacts) -> None:
        """Plan the chunks, and find out which are done already."""
        found = Manifest.from_json(facts.manifest, self._folder.path)
        if self._recorded is None:
            max_frames = max_chunk_frames(found.geometry, found.map_kind, len(found.targets))
            plan = plan_run(self._job.source, self._job.temporal, max_frames)
            if plan is None:
                raise NoPlanError
            manifest = replace(
                found, source=SourceIdentity.of(self._job.source.url), job=describe_run(self._job), plan=plan
            )
        else:
            manifest = with_output(self._recorded, self._job)
            for name in _MODEL_FACTS:
                if getattr(found, name) != getattr(manifest, name):
                    raise StreamcamError(
                        f"{self._folder.path} cannot be continued: its {name} differs", hint="use --overwrite"
                    )
            for one in find_other_versions(manifest, found.versions):
                logger.info("the record was begun with %s: maps may differ slightly", one)
            manifest = replace(manifest, versions=found.versions)
        if manifest.plan is None:
            raise StreamcamError(
                f"{self._folder.path} has no plan of chunks", hint="continue it without --cluster, or use --overwrite"
            )
        self.plan = manifest.plan
        missing = {one.number for one in manifest.missing}
        chunks = tuple(one for one in manifest.chunks if one.number not in missing)
        manifest = replace(manifest, chunks=chunks, complete=False, output=None, output_file=None)
        self.storage = ChunkStorage(self._folder, manifest)
        self.storage.reserve(keeps_segments=self._recorded is not None and is_same_format(self._recorded, self._job))
        self._scale = ScalePass(len(self.plan), self._job.temporal, manifest.map_kind)
        self._enter_recorded(manifest)

    def _enter_recorded(self, manifest: Manifest) -> None:
        """Enter the chunks that are on the disk already."""
        explained = [one.number for one in manifest.chunks]
        for number in explained:
            frames = unpack_chunk(self.storage.read_record(number), len(manifest.targets))
            self._scale.add_explained(
                number, max_peaks((one.attributions for one in frames if not one.held), manifest.map_kind)
            )
        numbers = range(len(self.plan))
        self.schedule = Schedule(numbers, draws=self._draws, explained=explained)
        self._update_drawable()

    def _update_drawable(self) -> None:
        """Make tasks of the chunks that can be drawn now; those whose segment is stored are done."""
        while self._draws and (numbers := self._scale.pop_drawable()):
            for number in numbers:
                found = self.storage.read_segment(number)
                if found is not None and (self._takes_segment is None or self._takes_segment(found[0])):
                    self._scale.add_drawn(number, found[1])
                    self._num_stored += found[0].num_frames
                    self.schedule.finish(Task(number, "draw"))
                else:
                    self.schedule.add_drawable(number)

    def frame_pts(self, number: int) -> list[int]:
        """Return the times of a chunk's frames in the source."""
        rows = map(json.loads, self.storage.read_record(number).table.splitlines())
        return [row["pts"] for row in rows if row["target"] == 0]

    def summarize(self, *, encoder: str, decoder: str, num_frames: int) -> Summary:
        """Return the summary of a complete run; times are those of all workers."""
        facts = self.storage.manifest.run
        counts = {"frames_explained": 0, "frames_held": 0, "frames_zero_map": 0}
        for chunk in self.plan:
            zero_maps = set[int]()
            for row in map(json.loads, self.storage.read_record(chunk.number).table.splitlines()):
                if row["target"] == 0:
                    counts["frames_held" if row["held"] else "frames_explained"] += 1
                if not (row["held"] or row["errors"]) and row["area"] is None:
                    zero_maps.add(row["index"])
            counts["frames_zero_map"] += len(zero_maps)
        if note := zero_map_note(facts["method"], counts["frames_zero_map"], counts["frames_explained"]):
            logger.warning("%s", note)
        wall_seconds = time.perf_counter() - self._started
        resolved: dict[str, Any] = {**counts, **{name: facts[name] for name in _SUMMARY_FACTS}}
        return Summary(
            **resolved,
            input=self._job.source.url,
            output=str(self._job.sink.path),
            record=str(self._folder.path),
            targets=tuple(facts["targets"]),
            decoder=decoder,
            encoder=encoder,
            encoders=None,
            frames_on="cpu",
            frames_in=sum(one.num_frames for one in self.plan),
            frames_out=num_frames,
            frames_skipped=0,
            wall_seconds=round(wall_seconds, 3),
            startup_seconds=0.0,
            fps=round((num_frames - self._num_stored) / wall_seconds, 2),
            stage_seconds={step: round(seconds, 3) for step, seconds in self._seconds.items()},
            interrupted=False,
            quality_metrics={},
            notes=(),
        )

    def draw_task(self, number: int) -> DrawTask:
        """Return the arguments for drawing a chunk."""
        after = number + 1 if self._scale.needs_next and number + 1 < len(self.plan) else None
        return DrawTask(
            chunk=self.plan[number],
            record=self.storage.read_record(number),
            next_chunk=None if after is None else self.plan[after],
            next_record=None if after is None else self.storage.read_record(after),
            first_pts=self.plan[0].first_pts,
            running_peaks=self._scale.running_peaks(number),
            stream_peaks=self._scale.stream_peaks,
        )

    def add_explained(self, task: Task, result: Explained) -> None:
        """Store the record of a chunk.

        Raises:
            SinkError: it cannot be written.
        """
        self.storage.add_record(result.record)
        self._scale.add_explained(task.chunk, result.peaks)
        self._finish(task, result.seconds)

    def add_drawn(self, task: Task, result: Drawn) -> None:
        """Store the segment of a chunk.

        Raises:
            SinkError: it cannot be written.
        """
        self.storage.add_segment(task.chunk, result.segment, result.running_peaks)
        self._scale.add_drawn(task.chunk, result.running_peaks)
        self._finish(task, result.seconds)

    def _finish(self, task: Task, seconds: float) -> None:
        self.schedule.finish(task)
        self._seconds[task.step] += seconds
        self._update_drawable()
        # A frame counts half once it is explained: so the bar moves evenly.
        steps: tuple[Step, ...] = ("explain", "draw") if self._draws else ("explain",)
        done = sum(self.plan[number].num_frames for step in steps for number in self.schedule.done(step))
        self._on_progress(done // len(steps), sum(one.num_frames for one in self.plan))
