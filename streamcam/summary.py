"""The result of a run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


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
