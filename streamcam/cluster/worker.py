"""The work on chunks: explain and record one, draw and encode one. It knows nothing of Ray.

A worker prepares once: the model is compiled for the source. It explains one chunk at a time; drawing needs no model,
and several chunks may be drawn at the same time.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..chunks import open_chunk
from ..compose import drawn_info
from ..concurrency.group import StageGroup, StageTimer
from ..errors import SourceError
from ..frames import ExplainedFrame, FrameRange
from ..job import Job
from ..notes import collect_notes
from ..prepare import PreparedRun, prepare
from ..record import Manifest, SourceIdentity, StoredFrame, pack_chunk
from ..recording import make_manifest
from ..sinks import open_sink
from ..sinks.video import VideoSink
from ..stages import MAX_WAITING_BYTES, encode, explain_source, make_renderer, prefetch_depth, queue_depth, render
from ..temporal import MAX_HOLD_FRAMES, Normalizer, interpolate_maps, max_peaks
from .files import FileCopies, JobFile, localize
from .urls import fetch
from .values import Drawn, DrawTask, Explained, WorkerFacts, unpack_chunk

if TYPE_CHECKING:
    from ..sinks.segments import Segment

_DRAW_AHEAD = 4
"""Frames that may wait between decoding, drawing and encoding."""


class ChunkWorker:
    """Works on the chunks of one job."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        folder = tempfile.TemporaryDirectory(prefix="streamcam-cluster-", ignore_cleanup_errors=True)
        self._folder = Path(self._stack.enter_context(folder))
        self._copies = FileCopies(self._folder)
        self._run: PreparedRun
        self._manifest: Manifest

    def close(self) -> None:
        """Close the source, and remove all files."""
        self._stack.close()

    def missing(self, files: tuple[JobFile, ...]) -> list[int]:
        """Return the numbers of files that are missing or differ here."""
        return [number for number, file in enumerate(files) if not file.is_here]

    def receive(self, number: int, name: str, relative: str, data: bytes) -> str:
        """Append a piece to the copy of a file; see `FileCopies.receive`."""
        return self._copies.receive(number, name, relative, data)

    def fetch(self, url: str, expected: JobFile) -> str:
        """Copy a remote file to this node; return the path of the copy.

        Raises:
            SourceError: it cannot be read, or is not the one that the driver has read.
        """
        path = fetch(url, self._folder)
        found, (part,) = SourceIdentity.of(str(path)), expected.parts
        if (found.size, found.sha256) != (part.size, part.sha256):
            raise SourceError(f"{url} has changed while it was read", hint="run it again")
        return str(path)

    def prepare(self, values: dict[str, object], places: Mapping[str, str]) -> WorkerFacts:
        """Load the model and compile it for the source.

        Args:
            values: of the job, as from `Job.to_dict`; without a record.
            places: where this node has the files of the job, by their names in it.

        Raises:
            StreamcamError: the job cannot be done.
        """
        job, notes = localize(Job.from_dict(values), places), list[str]()
        # No output is written here, but its format and codec decide how segments are encoded.
        sink = replace(job.sink, path=self._folder / f"output{job.sink.path.suffix}", overwrite=True)
        with collect_notes(notes.append):
            run = self._run = self._stack.enter_context(prepare(replace(job, sink=sink), one_compiler=True))
        self._manifest = make_manifest(run.job, run.info, run.explainer, run.compiled, run.to_dict())
        executable = run.compiled.executable
        return WorkerFacts(self._manifest.to_json(), executable.precision, executable.batch, tuple(notes))

    def explain(self, chunk: FrameRange) -> Explained:
        """Explain the frames of a chunk and record them.

        Raises:
            StreamcamError: they cannot be read, or the model failed.
        """
        run, notes, started = self._run, list[str](), time.perf_counter()
        frames: list[StoredFrame] = []
        with (
            collect_notes(notes.append),
            open_chunk(run.job.source, chunk, run.info) as source,
            StageGroup() as group,
        ):
            for item in explain_source(
                source,
                source.info,
                run.explainer,
                run.compiled,
                run.job.temporal,
                group,
                StageTimer(),
                interpolation=None,
                max_batch_length=run.max_batch_length,
            ):
                frames.append(StoredFrame.of(item, frames[-1] if frames else None))
        record = pack_chunk(chunk.number, frames, self._manifest)
        explained = (one.attributions for one in unpack_chunk(record, len(run.targets)) if not one.held)
        peaks = max_peaks(explained, run.map_kind)
        return Explained(record, peaks, tuple(notes), time.perf_counter() - started)

    def draw(self, task: DrawTask) -> Drawn:
        """Draw the recorded maps on a chunk, and encode it.

        Raises:
            StreamcamError: the frames cannot be read, drawn or encoded.
        """
        run, notes, started = self._run, list[str](), time.perf_counter()
        segments: list[Segment] = []
        normalizer = Normalizer(
            run.job.temporal.scale,
            run.map_kind,
            stream_peaks=task.stream_peaks,
            running_peaks=task.running_peaks,
        )
        with (
            tempfile.TemporaryDirectory(dir=self._folder) as folder,
            collect_notes(notes.append),
            StageGroup() as group,
        ):
            options = replace(run.job.sink, path=Path(folder, run.job.sink.path.name))
            info = drawn_info(run.job.draw, replace(run.info, passthrough_streams=()), len(run.targets))
            with open_sink(options, info) as sink:
                assert isinstance(sink, VideoSink)
                sink.store_chunks(segments.append, first_pts=task.first_pts)
                renderer = make_renderer(
                    run.job.draw,
                    run.info,
                    run.geometry,
                    run.device,
                    facts=run.facts,
                    panels=len(run.targets),
                    map_kind=run.map_kind,
                )
                interpolated = itertools.islice(self._interpolated(task, group), task.chunk.num_frames)
                drawn = render(map(normalizer, interpolated), renderer, StageTimer())
                depth = prefetch_depth(_DRAW_AHEAD, run.info, frames_per_item=2 + len(run.targets))
                for _ in encode(group.prefetch(drawn, depth=depth, name="draw"), sink, StageTimer()):
                    pass
        (segment,) = segments
        return Drawn(segment, normalizer.running_peaks, tuple(notes), time.perf_counter() - started)

    def _interpolated(self, task: DrawTask, group: StageGroup) -> Iterator[ExplainedFrame]:
        """Yield the frames of a chunk with their maps; and the first of the next, which the last are mixed with."""
        run = self._run
        max_waiting = queue_depth(MAX_HOLD_FRAMES, run.info, max_bytes=MAX_WAITING_BYTES)
        return interpolate_maps(
            self._joined(task, group),
            run.interpolation,
            run.geometry,
            max_waiting=max_waiting,
        )

    def _joined(self, task: DrawTask, group: StageGroup) -> Iterator[ExplainedFrame]:
        targets = range(len(self._run.targets))
        with open_chunk(self._run.job.source, task.chunk, self._run.info) as source:
            recorded = unpack_chunk(task.record, len(targets))
            frames = group.prefetch(source, depth=prefetch_depth(_DRAW_AHEAD, source.info), name="decode")
            for number, (frame, one) in enumerate(zip(frames, recorded, strict=True)):
                yield one.explained(replace(frame, starts_chunk=number == 0), targets)
        if task.next_chunk is not None and task.next_record is not None:
            with open_chunk(self._run.job.source, task.next_chunk, self._run.info) as source:
                first = unpack_chunk(task.next_record, len(targets))[0]
                yield first.explained(next(iter(source)), targets)
