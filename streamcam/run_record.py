"""The record of a run, which a later run may continue."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .begun_output import finish_output, is_begun_output, is_output_complete, with_output
from .chunks import mark_chunks
from .concurrency.group import StageGroup, StageTimer
from .errors import OptionError, SinkError, SourceError, StreamcamError, count_of
from .frames import ExplainedFrame, Frame, FrameRange, SourceInfo
from .job import Job, describe_options
from .models.model_hash import hash_model
from .notes import get_logger
from .options import SinkOptions, TemporalOptions
from .record import (
    MANIFEST,
    Manifest,
    Record,
    RecordFolder,
    RecordWriter,
    SourceIdentity,
    open_record,
    temporary_folder,
)
from .record.compare import (
    find_other_fact,
    find_other_model,
    find_other_option,
    find_other_source,
    find_other_versions,
    num_whole_chunks,
)
from .recording import DECODE_QUEUE_DEPTH
from .stages import frame_selector, prefetch_depth
from .stored_video import StoredVideo, store_video

if TYPE_CHECKING:
    from .sinks import Sink
    from .sources import Source

logger = get_logger(__name__)


class RunRecord:
    """The record of a run, while it is written.

    It is a context manager that keeps the folder locked: entered before the output is opened, and left after the output
    is complete.

    Args:
        folder: of the record; locked already if ``before`` is given.
        job: of the run.
        before: the record of the run to continue; None to begin at the first frame.

    Attributes:
        writer: writes the record; set by `start`.
        is_written: all frames are written: set it before the output is closed.
    """

    def __init__(self, folder: RecordFolder, job: Job, before: Record | None = None) -> None:
        self._folder, self._job, self._before = folder, job, before
        self._marks: tuple[FrameRange, ...] | None = None
        self._done: Record | None = None
        self._video: StoredVideo | None = None
        self.writer: RecordWriter
        self.is_written = False

    def sink_options(self, options: SinkOptions) -> SinkOptions:
        """Return the options of the output: that of the run it continues may be replaced."""
        if self._before is not None:
            is_same = is_begun_output(self._before, options.path)
        else:
            # Killed before its first chunk: the folder is named after the output.
            is_same = options.resume and options.record == "auto" and self._folder.path.is_dir()
        return replace(options, overwrite=options.overwrite or is_same)

    def finish_record(self) -> Record:
        """Wait until all frames are on the disk; return them."""
        self.writer.finish()
        return open_record(self._folder.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Mark the output as complete, if it is, and unlock the folder."""
        try:
            if kind is None and self.is_written and self.writer.store.is_reserved:
                if self._job.sink.record_path is not None:  # a temporary one is not continued
                    finish_output(self.writer.store, self._job.sink.path)
                if self._video is not None:
                    self._video.remove()
        finally:
            self._folder.close()

    def start(self, manifest: Manifest, plan: tuple[FrameRange, ...] | None, source: Source, sink: Sink) -> Source:
        """Make the writer of the record; return the source of the frames that are not stored as encoded video.

        Args:
            manifest: of the run, before its first chunk.
            plan: of the source.
            source: the input, open; none of its frames is read yet.
            sink: the output, open.

        Raises:
            StreamcamError: it continues a record of another layer or precision.
            SinkError: the folder cannot be written.
        """
        self._marks = plan
        manifest = replace(manifest, plan=plan)
        if self._before is not None:
            recorded = self._before.manifest
            self._marks = recorded.plan or plan
            if difference := find_other_fact(recorded, manifest.run):
                raise _other_run_error(self._before, difference)
            for one in find_other_versions(recorded, manifest.versions):
                logger.info("the record was begun with %s: maps may differ slightly", one)
            self._done = self._before.first_chunks(num_whole_chunks(recorded))
            chunks = recorded.chunks[: len(self._done.chunks)]
            continued = with_output(self._before, self._job)
            manifest = replace(continued, chunks=chunks, versions=manifest.versions, output=None, output_file=None)
            logger.info("continued after %s", count_of(len(self._done), "frame"))
        if manifest.plan is not None and self._job.temporal.scale != "stream":
            self._video = store_video(self._folder, manifest.plan, self._done, source, sink, self._job)
        self.writer = RecordWriter(self._folder, manifest, closes_folder=False)
        if self._before is not None:
            self.writer.store.reserve(self._video.names if self._video is not None else ())
            self.writer.store.save()
        return source if self._video is None else self._video.source

    @property
    def running_peaks(self) -> tuple[float, ...]:
        """The running scale before the first frame that is drawn."""
        return () if self._video is None else self._video.peaks

    def write_stored(self) -> Iterator[ExplainedFrame]:
        """Write the chunks that are stored as encoded video; yield their frames, without images."""
        return iter(()) if self._video is None else self._video.write()

    def watch(self, items: Iterable[ExplainedFrame]) -> Iterator[ExplainedFrame]:
        """Note the scale of normalised frames, for the chunks that are stored."""
        return iter(items) if self._video is None else self._video.watch(items)

    def explained(
        self,
        frames: Iterable[Frame],
        explain: Callable[..., Iterator[ExplainedFrame]],
        info: SourceInfo,
        temporal: TemporalOptions,
        group: StageGroup,
        timer: StageTimer,
    ) -> Iterator[ExplainedFrame]:
        """Yield all frames with raw maps: recorded ones first, then those that the model explains.

        Args:
            frames: of the source, from the first one on.
            explain: `explain_source` with all arguments but frames, selection and the frame before.
            info: properties of the source.
            temporal: selection.
            group: owns the threads.
            timer: counts the time as ``decode``.

        Raises:
            SourceError: the frames are not the recorded ones.
        """
        marked, is_selected = mark_chunks(frames, self._marks), frame_selector(temporal)
        last: ExplainedFrame | None = None
        first_chunk = 0 if self._video is None else self._video.num_stored
        num_recorded = 0 if self._done is None else len(self._done) - len(self._done.first_chunks(first_chunk))
        if self._done is not None and num_recorded:
            head: Iterator[Frame] = islice(marked, num_recorded)
            if temporal.every == "auto":
                head = _observe(head, is_selected)
            head = group.prefetch(
                timer.measure("decode", head), depth=prefetch_depth(DECODE_QUEUE_DEPTH, info), name="decode"
            )
            num_joined = 0
            targets = range(len(self._done.targets))
            for last in self._done.attach(head, info, targets, first_chunk=first_chunk):
                num_joined += 1
                yield last
            if num_joined < num_recorded:
                raise SourceError(f"{info.name} ends within the {len(self._done)} recorded frames")
        if self._done is not None and self._done.complete:
            yield from _none_of(marked)
            return
        yield from explain(marked, is_selected=is_selected, before=last)


def _observe(frames: Iterable[Frame], observe: Callable[[Frame], object]) -> Iterator[Frame]:
    for frame in frames:
        observe(frame)
        yield frame


def _none_of(frames: Iterable[Frame]) -> Iterator[ExplainedFrame]:
    """Read a source to its end, and yield no frame."""
    for _ in frames:
        pass
    yield from ()


def open_run_record(job: Job, info: SourceInfo, stack: contextlib.ExitStack) -> RunRecord | None:
    """Return the record of a job, checked; None if it needs none.

    ``--scale stream`` needs one: a temporary one beside the output if none is to be kept.

    Args:
        job: the requested job.
        info: properties of the source.
        stack: closes the record at its end, and removes a temporary one.

    Raises:
        SinkError: the folder cannot be written.
        OptionError: ``--scale stream`` of a source that cannot be read twice.
        SourceError: ``--resume`` with another source.
        StreamcamError: ``--resume`` with other options, or of a record that cannot be read.
    """
    path = job.sink.record_path
    if job.temporal.scale == "stream":
        url = job.source.url.removeprefix("file://")
        if info.live or not ("://" in url or os.path.isfile(url)):
            raise OptionError(f"--scale stream reads {info.name} twice", expected="a file", hint="use --scale running")
        if path is None:
            path = temporary_folder(job.sink.path, stack) / "record"
    if path is None:
        return None
    folder = RecordFolder(path, overwrite=job.sink.overwrite, resume=job.sink.resume)
    folder.check()
    record = RunRecord(folder, job, find_run(job, folder) if job.sink.resume else None)
    return stack.enter_context(record)


def find_run(job: Job, folder: RecordFolder) -> Record | None:
    """Lock the record of a run to continue; return it, None if there is none.

    Raises:
        StreamcamError: another run writes it, it cannot be read, or it is of another run.
    """
    if not (folder.path / MANIFEST).is_file():
        logger.info("%s holds no run to continue: starting at the first frame", folder.path)
        return None
    try:
        folder.lock()
        record = Record(folder.path, drops_damaged=True)
        check_run(job, record)
        record.check_tables()
    except OSError as error:
        raise SinkError(f"{folder.path} cannot be read: {error.strerror}") from error
    except BaseException:
        folder.close()
        raise
    return record


def check_run(job: Job, record: Record) -> None:
    """Check that a job is the recorded one.

    Raises:
        SourceError: another source.
        StreamcamError: other options, or another model.
    """
    recorded = record.manifest
    if difference := find_other_source(recorded, SourceIdentity.of(job.source.url)):
        raise SourceError(difference, hint=f"--resume needs the source of {record.path}")
    difference = find_other_option(recorded, describe_options(job))
    if difference := difference or find_other_model(recorded, hash_model(job.model.model)):
        raise _other_run_error(record, difference)


def _other_run_error(record: Record, difference: str) -> StreamcamError:
    return StreamcamError(
        f"{record.path} cannot be continued: {difference}",
        hint="use the same options, or --overwrite without --resume to start again",
    )


def find_finished(job: Job) -> Record | None:
    """Return the record of a run that is complete with its output.

    None if ``--resume`` has something to do.

    Raises:
        StreamcamError: the record cannot be read, or is of another run.
    """
    path = job.sink.record_path
    if not job.sink.resume or path is None or not (path / MANIFEST).is_file():
        return None
    record = Record(path, drops_damaged=True)
    check_run(job, record)
    return record if is_output_complete(record, job.sink.path, overwrite=job.sink.overwrite) else None
