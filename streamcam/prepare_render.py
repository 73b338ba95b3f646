"""Resolve all choices of a job that draws a record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .compose import drawn_info
from .concurrency.group import StageGroup, StageTimer
from .errors import OptionError, SourceError, StreamcamError, did_you_mean
from .frames import CaptionFacts, ExplainedFrame, Frame, MapKind, SourceInfo
from .geometry import Geometry
from .job import RenderJob, options_from_dict
from .keywords import RenderKeywords
from .notes import get_logger
from .option_fields import option_fields
from .options import DrawOptions, RecordOptions, SinkOptions, SourceOptions, TemporalOptions, normalize_targets
from .record import Record, SourceIdentity, damaged_manifest_error, open_record
from .recording import DECODE_QUEUE_DEPTH, recorded_source
from .sinks import open_sink
from .sources import open_source
from .stages import prefetch_depth

if TYPE_CHECKING:
    from .sinks import Sink
    from .sources import Source

logger = get_logger(__name__)

_SOURCE_OPTION = "--source"


def make_render_job(
    record: str | os.PathLike[str], path: str | os.PathLike[str], /, **options: Unpack[RenderKeywords]
) -> RenderJob:
    """Build a job from flat options; those of drawing, interpolation and scale default to the recorded ones.

    Args:
        record: folder of the record.
        path: path of the output.
        **options: see `streamcam.keywords.RenderKeywords`.

    Raises:
        OptionError: unknown option, or a value that cannot be used.
        StreamcamError: no record, or a damaged one.
    """
    values: dict[str, Any] = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in options.items()
    }
    unknown = next((name for name in values if name not in RenderKeywords.__annotations__), None)
    if unknown is not None:
        raise OptionError(f"unknown option {unknown!r}", hint=did_you_mean(unknown, RenderKeywords.__annotations__))
    manifest = open_record(record).manifest
    target = values.pop("target", ())
    chosen = RecordOptions(
        record=os.fspath(record), source=values.pop("source", None), target=normalize_targets(target)
    )
    try:
        window = _known(SourceOptions, manifest.job["source"], ("start", "end"))
        source = options_from_dict(SourceOptions, {"url": "", **window})
        draw = options_from_dict(DrawOptions, _known(DrawOptions, manifest.job["draw"]))
        temporal = options_from_dict(TemporalOptions, _known(TemporalOptions, manifest.job["temporal"]))
    except (OptionError, ValueError, TypeError, ArithmeticError):
        raise damaged_manifest_error(chosen.record) from None

    def take(kind: type[Any]) -> dict[str, Any]:
        return {name: values.pop(name) for name in option_fields(kind) if name in values}

    return RenderJob(
        record=chosen,
        source=replace(source, url=chosen.source or manifest.source.path, **take(SourceOptions)),
        draw=replace(draw, **take(DrawOptions)),
        temporal=replace(temporal, **take(TemporalOptions)),
        sink=SinkOptions(path=Path(path), **take(SinkOptions)),
    )


def _known(kind: type[Any], values: Mapping[str, Any], names: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the named values, by default all, that the options have."""
    return {name: values[name] for name in names or values if name in values and name in option_fields(kind)}


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRender:
    """A record to draw, with everything resolved: what `streamcam.pipeline.run` executes.

    Attributes:
        job: the requested job.
        record: the maps and scores.
        source: the recorded source, open.
        sink: the output, open.
        target_numbers: the targets to draw, by their place in the record.
    """

    job: RenderJob
    record: Record
    source: Source
    sink: Sink
    target_numbers: tuple[int, ...]

    @property
    def info(self) -> SourceInfo:
        """Properties of the source."""
        return self.source.info

    @property
    def geometry(self) -> Geometry:
        """How frames were fitted into the model's input."""
        return self.record.manifest.geometry

    @property
    def device(self) -> str:
        """The devices of the recorded run."""
        return str(self.record.manifest.run.get("device", ""))

    @property
    def method(self) -> str:
        """Name of the explanation method."""
        return self.record.manifest.method

    @property
    def map_kind(self) -> MapKind:
        """How the maps are shown."""
        return self.record.manifest.map_kind

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets to draw, as they were requested."""
        requested = self.record.manifest.run.get("targets", self.record.targets)
        return tuple(requested[number] for number in self.target_numbers)

    @property
    def facts(self) -> CaptionFacts:
        """Names for captions."""
        manifest = self.record.manifest
        targets = tuple(manifest.targets[number] for number in self.target_numbers)
        return CaptionFacts(
            manifest.method, manifest.layer, targets, manifest.model["labels"], manifest.model["preprocess_guess"]
        )

    def explained_frames(
        self,
        frames: Iterable[Frame],
        group: StageGroup,
        timer: StageTimer,
        progress: Callable[[int, int], None] | None = None,
        on_model_input: Callable[[Frame], None] | None = None,
    ) -> Iterator[ExplainedFrame]:
        """Return the frames of the source with their recorded maps, normalised.

        Args:
            frames: of the source, in order.
            group: owns the threads.
            timer: counts the time of each stage.
            progress: not used: no model runs.
            on_model_input: not used either.
        """
        decoded = group.prefetch(
            timer.measure("decode", frames), depth=prefetch_depth(DECODE_QUEUE_DEPTH, self.info), name="decode"
        )
        temporal = self.job.temporal
        return recorded_source(
            decoded,
            self.info,
            self.record,
            temporal,
            timer,
            interpolation=temporal.interpolation,
            targets=self.target_numbers,
        )

    def write_stored(self) -> Iterator[ExplainedFrame]:
        """Return no frame: no chunk is encoded already."""
        return iter(())

    def finish(self) -> None:
        """Write what comes after the last frame."""
        self.sink.write_packets(self.source.trailing_packets)

    def to_dict(self) -> dict[str, object]:
        """Return the resolved facts as plain values for JSON; those of the model are the recorded ones."""
        recorded = self.record.manifest.run
        return {
            **{name: recorded.get(name, "") for name in ("model", "preprocess", "layer", "method", "precision")},
            "input": self.info.name,
            "output": str(self.sink.path),
            "targets": self.targets,
            "device": self.device,
            "batch": recorded.get("batch", 0),
            "decoder": self.source.decoder,
            "encoder": self.sink.encoder,
            "frames_on": "cpu",
            "record": str(self.record.path),
        }


@contextlib.contextmanager
def prepare_render(
    job: RenderJob, *, timer: StageTimer | None = None, on_open: Callable[[SourceInfo], None] | None = None
) -> Iterator[PreparedRender]:
    """Open record, source and output; the end of the block closes them.

    Args:
        job: what to do.
        timer: counts the time as ``load``.
        on_open: called once with the properties of the source.

    Raises:
        StreamcamError: the job cannot be done.
    """
    with contextlib.ExitStack() as stack:
        with (timer or StageTimer())("load"):
            record = open_record(job.record.record)
            if not len(record):
                raise StreamcamError(f"the record {record.path} has no frame", hint="record it again")
            record.check_tables()
            numbers = record.find_targets(job.record.target)
            is_same = _check_source(record, job)
            source = stack.enter_context(open_source(job.source))
            info = source.info
            if not is_same:
                logger.info("%s cannot be compared with the recorded source: no hash", info.name)
            if (info.width, info.height) != record.manifest.geometry.source or (
                info.time_base != record.manifest.time_base
            ):
                raise _other_source_error(record, info.name)
            sink = stack.enter_context(open_sink(job.sink, drawn_info(job.draw, info, len(numbers))))
        if on_open is not None:
            on_open(info)
        yield PreparedRender(job, record, source, sink, numbers)


def _check_source(record: Record, job: RenderJob) -> bool:
    """Check that the source is the recorded one, by size and hash.

    Returns:
        False if one of them has no hash.

    Raises:
        SourceError: it is another file; or the record is of a URL, and no source is given.
    """
    recorded = record.manifest.source
    if job.record.source is None and recorded.sha256 is None:
        raise SourceError(
            f"the record explains {recorded.path}, which is no file", hint=f"name it with {_SOURCE_OPTION}"
        )
    found = SourceIdentity.of(job.source.url)
    if job.record.source is None and found.size is None:
        raise SourceError(f"{recorded.path} cannot be opened", hint=f"name the recorded file with {_SOURCE_OPTION}")
    if found.sha256 is None or recorded.sha256 is None:
        return False
    if not found.is_same_file(recorded):
        raise _other_source_error(record, found.path)
    return True


def _other_source_error(record: Record, name: str) -> SourceError:
    return SourceError(
        f"{name} is not the file that {record.path} explains, or has changed",
        hint=f"name the recorded file with {_SOURCE_OPTION}, or record it again",
    )
