"""The record of a run: its manifest, and its maps on the way to the renderer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .begun_output import describe_run
from .concurrency.group import StageTimer
from .frames import ExplainedFrame, Frame, SourceInfo
from .geometry import Geometry
from .job import Job
from .models.model_hash import hash_model
from .options import Interpolation, TemporalOptions
from .record import Manifest, Record, SourceIdentity, installed_versions
from .stages import MAX_WAITING_BYTES, interpolate_maps, normalize_maps, queue_depth
from .temporal import MAX_HOLD_FRAMES, max_peaks

if TYPE_CHECKING:
    from .engine.explainer import FrameExplainer
    from .engine.prepared_source import PreparedSource

DECODE_QUEUE_DEPTH = 8
"""Decoded frames that may wait for the renderer, if no model waits for them."""


def make_manifest(
    job: Job, info: SourceInfo, explainer: FrameExplainer, compiled: PreparedSource, run: Mapping[str, object]
) -> Manifest:
    """Return the manifest of a run's record, before its first chunk.

    Args:
        job: the requested job.
        info: properties of the source.
        explainer: the model with its method.
        compiled: the method compiled for the source.
        run: the resolved facts of the run.
    """
    model, facts = explainer.info, compiled.caption_facts(explainer.method, explainer.targets, explainer.info)
    return Manifest(
        source=SourceIdentity.of(job.source.url),
        frame={
            "width": info.width,
            "height": info.height,
            "pixel_format": info.pixel_format,
            "pixel_aspect": str(info.pixel_aspect),
            "average_fps": None if info.average_fps is None else str(info.average_fps),
        },
        time_base=info.time_base,
        model={
            "name": model.name,
            "sha256": hash_model(job.model.model),
            "preprocess": model.preprocess_summary,
            "preprocess_guess": facts.guess,
            "labels": model.labels,
        },
        method=facts.method,
        layer=facts.layer,
        map_kind=explainer.map_kind,
        targets=facts.targets,
        geometry=compiled.geometry,
        run={name: value for name, value in run.items() if name not in ("output", "record", "notes")},
        job=describe_run(job),
        versions=installed_versions(),
    )


def recorded_source(
    frames: Iterable[Frame],
    info: SourceInfo,
    record: Record,
    temporal: TemporalOptions,
    timer: StageTimer,
    *,
    interpolation: Interpolation,
    targets: Sequence[int],
) -> Iterator[ExplainedFrame]:
    """Return a source's frames with their recorded maps, interpolated and normalised.

    Args:
        frames: the frames of the source.
        info: properties of the source.
        record: of these frames.
        temporal: normalisation.
        timer: counts the time as ``draw``.
        interpolation: for the frames between explained ones.
        targets: numbers of the recorded targets.
    """
    map_kind = record.manifest.map_kind
    peaks: tuple[float, ...] = ()
    if temporal.scale == "stream":
        peaks = max_peaks(([one.attributions[n] for n in targets] for one in record if not one.held), map_kind)
    joined = record.join(frames, info, targets)
    interpolated = interpolate(joined, info, record.manifest.geometry, timer, interpolation)
    return normalize_maps(interpolated, temporal, map_kind, peaks)


def interpolate(
    items: Iterable[ExplainedFrame],
    info: SourceInfo,
    geometry: Geometry,
    timer: StageTimer,
    interpolation: Interpolation,
) -> Iterator[ExplainedFrame]:
    """Interpolate maps of held frames, as far as memory allows.

    Args:
        items: frames in order, with raw maps.
        info: properties of the source.
        geometry: of the frames in the model's input.
        timer: counts the time as ``draw``.
        interpolation: as for `interpolate_maps`.
    """
    max_waiting = queue_depth(MAX_HOLD_FRAMES, info, max_bytes=MAX_WAITING_BYTES)
    return interpolate_maps(items, interpolation, geometry, timer, max_waiting=max_waiting)
