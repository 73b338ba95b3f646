"""The result of a run, and the counts it is made from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .frames import ExplainedFrame, Frame, MapKind
from .temporal import is_zero

MAX_REPORTED_ERRORS = 10
"""Frames named in notes if the model fails on many."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Result of a run; the JSON of ``streamcam process``.

    Attributes:
        input, output: names of the files.
        frames_in: frames the source delivered.
        frames_out: frames written.
        frames_skipped: frames the source could not decode.
        frames_explained: frames written that were explained.
        frames_zero_map: frames explained whose map is zero for a target, so that nothing is drawn.
        frames_held: frames written that were not explained; their maps come from those before and after them.
        wall_seconds: from opening the input to closing the output, without loading the model.
        startup_seconds: loading and compiling the model.
        fps: frames written by this run, without stored ones that it continues, divided by ``wall_seconds``; 0 if none
            is left to do.
        stage_seconds: seconds each stage was busy; they overlap, so their sum may exceed ``wall_seconds``.
        model, layer, method, precision, device, batch: resolved options of the computation.
        preprocess: preprocessing of the frames, with ``(guessed)`` if the model does not define it.
        decoder, encoder: names of decoder and encoder, with the hardware in brackets.
        encoders: encoders that worked at once, each on a segment of the video; None on a cluster, where each worker has
            its own, and for a run that was complete before.
        frames_on: memory of the frames between them: ``cpu``, or a GPU.
        interrupted: True if the user ended it early.
        targets: the explained targets, as requested.
        quality_metrics: the largest value of each of the method's quality metrics.
        record: the folder of the record; None without one.
        notes: one-line announcements, in order.
    """

    input: str
    output: str
    frames_in: int
    frames_out: int
    frames_skipped: int
    frames_explained: int
    frames_zero_map: int
    frames_held: int
    wall_seconds: float
    startup_seconds: float
    fps: float
    stage_seconds: dict[str, float]
    model: str
    preprocess: str
    layer: str
    method: str
    precision: str
    device: str
    batch: int
    decoder: str
    encoder: str
    encoders: int | None
    frames_on: str
    interrupted: bool
    targets: tuple[str, ...]
    quality_metrics: dict[str, float]
    record: str | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


@dataclass(slots=True)
class RunTotals:
    """Counts, errors and metrics, folded from the frames as they pass.

    Attributes:
        frames_in, frames_explained, frames_held, frames_zero_map: as in `Summary`.
        frames_stored: frames of an earlier run, written from its stored video.
        errors: the first errors of frames, a line each.
        quality_metrics: as in `Summary`, not rounded.
    """

    frames_in: int = 0
    frames_stored: int = 0
    frames_explained: int = 0
    frames_held: int = 0
    frames_zero_map: int = 0
    errors: list[str] = field(default_factory=list)
    quality_metrics: dict[str, float] = field(default_factory=dict)

    @property
    def rounded_metrics(self) -> dict[str, float]:
        """The metrics as they are reported."""
        return {name: round(value, 4) for name, value in self.quality_metrics.items()}

    def count_read(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Count frames as they come from the source."""
        for frame in frames:
            self.frames_in += 1
            yield frame

    def count_written(
        self, items: Iterable[tuple[ExplainedFrame, bool]], map_kind: MapKind
    ) -> Iterator[ExplainedFrame]:
        """Fold in the attributions and errors of each frame; count those that the sink has not omitted."""
        for item, is_written in items:
            self.frames_explained += is_written and not item.held
            self.frames_held += is_written and item.held
            if is_written and not (item.held or item.errors):
                self.frames_zero_map += any(is_zero(one, map_kind) for one in item.attributions)
            if len(self.errors) < MAX_REPORTED_ERRORS:
                self.errors += [f"frame {item.frame.index}: {error}; no map is drawn" for error in item.errors]
            for name, values in item.quality_metrics.items():
                known = [value for value in values if not math.isnan(value)]
                self.quality_metrics[name] = max([self.quality_metrics.get(name, 0.0), *known])
            yield item
