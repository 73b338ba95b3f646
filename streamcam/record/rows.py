"""The rows of a record: explained frames to table and maps, and back.

A row describes one target of one frame. Maps are stored as float16, divided by a power of two that brings the largest
absolute value of each map to at least 1 and below 2: so none overflows, and a value is lost only below 2⁻²⁵ of the
largest, which float32 arithmetic does not resolve either. The factor is the row's ``scale``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frames import Attribution, ExplainedFrame, Frame, MapKind
from ..geometry import Geometry
from ..map_statistics import area, centroid, evidence

StoredMaps: TypeAlias = NDArray[np.float16]
"""``float16 (maps, targets, h, w)``, each divided by its scale."""

MAX_STORED = 2 - 2**-10
"""The largest float16 below 2: a map is not rounded up beyond float32."""

_NO_MAP = np.zeros((0, 0), np.float32)

_SAMPLES_AT_A_TIME = 1 << 15
"""Samples of the maps whose statistics are computed together."""

_DECIMALS = 5
"""Digits of fractions: a hundredth of a pixel of 1080p."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """An explained frame without its image; attributes as in `streamcam.frames.ExplainedFrame`.

    Attributes:
        index: of the frame.
        pts: its time, in units of the record's time base.
        attributions: one for each target; raw maps.
        top: the most probable classes as ``(index, probability)``.
        held: True if the frame was not explained itself: its maps are those before it.
        errors: why its result cannot be used.
        quality_metrics: for each target.
    """

    index: int
    pts: int
    attributions: tuple[Attribution, ...]
    top: tuple[tuple[int, float], ...] = ()
    held: bool = False
    errors: tuple[str, ...] = ()
    quality_metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def explained(self, frame: Frame, targets: Sequence[int]) -> ExplainedFrame:
        """Return the explained frame, given its image and the numbers of targets."""
        return ExplainedFrame(
            frame,
            tuple(self.attributions[n] for n in targets),
            top=self.top,
            held=self.held,
            errors=self.errors,
            quality_metrics={name: tuple(one[n] for n in targets) for name, one in self.quality_metrics.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """A frame as a chunk stores it.

    Attributes:
        frame: without its maps.
        maps: float16 ``(targets, h, w)``, each divided by its scale; those of held frames are the same object.
        scales: float32 ``(targets,)``, powers of two.
    """

    frame: RecordedFrame
    maps: StoredMaps
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, item: ExplainedFrame, before: StoredFrame | None) -> StoredFrame:
        """Return an explained frame as it is stored.

        Args:
            item: with raw maps.
            before: the frame before it, whose maps it has if it is held.
        """
        if item.held and before is not None:
            maps, scales = before.maps, before.scales
        else:
            maps, scales = store_maps(np.stack([one.heatmap for one in item.attributions]))
        attributions = tuple(replace(one, heatmap=_NO_MAP) for one in item.attributions)
        frame = item.frame
        recorded = RecordedFrame(
            frame.index, frame.pts, attributions, item.top, item.held, item.errors, item.quality_metrics
        )
        return cls(recorded, maps, scales)

    def restore(self, item: ExplainedFrame) -> ExplainedFrame:
        """Return the frame with its maps as the record holds them."""
        maps = restore_maps(self.maps, self.scales)
        pairs = zip(item.attributions, maps, strict=True)
        return replace(item, attributions=tuple(replace(one, heatmap=heatmap) for one, heatmap in pairs))


def encode_chunk(
    frames: Sequence[StoredFrame], time_base: Fraction, geometry: Geometry, map_kind: MapKind
) -> tuple[bytes, StoredMaps]:
    """Return the table and the maps of a chunk.

    A held frame refers to the map before it; if it is the first of the chunk, its map is stored, so that the chunk
    needs no other.

    Args:
        frames: at least one, in order.
        time_base: unit of their time stamps.
        geometry: of the frames in the model's input.
        map_kind: how the maps are shown; signed ones count negative attribution too.
    """
    stored: list[StoredFrame] = []
    numbers: list[int] = []
    for one in frames:
        if not (one.frame.held and stored):
            stored.append(one)
        numbers.append(len(stored) - 1)
    maps = np.stack([one.maps for one in stored])
    scales = np.stack([one.scales for one in stored])
    # A few maps at a time, so that the arrays in between stay in the CPU's cache: a quarter of the time.
    step = max(1, _SAMPLES_AT_A_TIME // maps[0].size)
    parts = [
        _measure_maps(restore_maps(maps[n : n + step], scales[n : n + step]), geometry, map_kind)
        for n in range(0, len(stored), step)
    ]
    columns = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    columns = {"scale": scales.astype(np.float64), **columns}
    lines = [
        json.dumps(
            _row(one.frame, target, time_base)
            | {"map": number}
            | {name: _number(values[number, target]) for name, values in columns.items()},
            separators=(",", ":"),
        )
        for one, number in zip(frames, numbers, strict=True)
        for target in range(len(one.frame.attributions))
    ]
    return "\n".join([*lines, ""]).encode(), maps


def store_maps(maps: NDArray[np.float32]) -> tuple[StoredMaps, NDArray[np.float32]]:
    """Return maps ``(…, h, w)`` divided by their scales, and the scales ``(…)``.

    Maps that come back from a record are stored as they were.
    """
    peaks = np.abs(maps).max(axis=(-2, -1), initial=0.0)
    exponents = np.where(peaks > 0, np.frexp(peaks)[1] - 1, 0)
    # In two steps: the factor of a map of denormal numbers is none of float32. `numpy.ldexp` takes ten times as long.
    for half in (-exponents // 2, -exponents - (-exponents // 2)):
        maps = maps * np.ldexp(np.float32(1), half)[..., None, None]
    return np.clip(maps, -MAX_STORED, MAX_STORED).astype(np.float16), np.ldexp(np.float32(1), exponents)


def restore_maps(stored: StoredMaps, scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return raw maps ``(…, h, w)`` of their stored values and scales ``(…)``."""
    return stored.astype(np.float32) * scales[..., None, None]


def _measure_maps(maps: NDArray[np.float32], geometry: Geometry, map_kind: MapKind) -> dict[str, NDArray[np.float64]]:
    """Return area and centroid of maps ``(maps, targets, h, w)``: ``(maps, targets)`` each."""
    weights = evidence(maps, signed=map_kind in ("signed", "relief"))
    columns = {"area": np.round(area(weights), _DECIMALS)}
    for axis, (name, fraction) in enumerate(zip(("centroid_x", "centroid_y"), centroid(weights), strict=True)):
        along = (fraction * geometry.input[axis] - geometry.offset[axis]) / geometry.scaled[axis]
        columns[name] = np.round(along, _DECIMALS)
    return columns


def _row(frame: RecordedFrame, target: int, time_base: Fraction) -> dict[str, Any]:
    attribution = frame.attributions[target]
    row: dict[str, Any] = {
        "index": frame.index,
        "pts": frame.pts,
        "time_base": str(time_base),
        "seconds": float(frame.pts * time_base),
        "target": target,
        "label": attribution.label,
        "class_index": attribution.class_index,
        "logit": _number(attribution.score),
        "probability": _number(attribution.probability),
        "top_classes": [index for index, _ in frame.top],
        "top_probabilities": [_number(probability) for _, probability in frame.top],
        "held": frame.held,
        "errors": list(frame.errors),
    }
    if frame.quality_metrics:
        row["metrics"] = {name: _number(values[target]) for name, values in frame.quality_metrics.items()}
    return row


def decode_rows(rows: Sequence[Mapping[str, Any]], maps: StoredMaps, num_targets: int) -> list[RecordedFrame]:
    """Return the frames of a chunk; held ones share the maps before them.

    Args:
        rows: of the table, in order.
        maps: of the chunk.
        num_targets: rows of a frame.

    Raises:
        ValueError, KeyError, TypeError, IndexError: the rows are not those of `encode_chunk`.
    """
    frames = []
    heatmaps: dict[tuple[int, int], NDArray[np.float32]] = {}
    for start in range(0, len(rows), num_targets):
        group = rows[start : start + num_targets]
        attributions = []
        for target, row in enumerate(group):
            if (row["target"], row["index"]) != (target, group[0]["index"]):
                raise ValueError("rows out of order")
            key = int(row["map"]), target
            if key not in heatmaps:
                heatmaps = {one: heatmap for one, heatmap in heatmaps.items() if one[0] == key[0]}
                heatmaps[key] = restore_maps(maps[key], np.array(row["scale"], np.float32))
            has_class = row["class_index"] is not None
            attributions.append(
                Attribution(
                    heatmaps[key],
                    row["label"],
                    _value(row["logit"]),
                    _value(row["probability"]) if has_class else None,
                    row["class_index"],
                )
            )
        first = group[0]
        metrics = [row.get("metrics", {}) for row in group]
        frames.append(
            RecordedFrame(
                first["index"],
                first["pts"],
                tuple(attributions),
                tuple(zip(first["top_classes"], map(_value, first["top_probabilities"]), strict=True)),
                first["held"],
                tuple(first["errors"]),
                {name: tuple(_value(one[name]) for one in metrics) for name in metrics[0]},
            )
        )
    return frames


def _number(value: float | None) -> float | None:
    """Return a number for JSON: the fewest digits that keep a float32, None for NaN."""
    if value is None or not math.isfinite(value):
        return None
    narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else float(value)


def _value(number: float | None) -> float:
    """Return the number that was stored: a float32 if it has the digits of one."""
    if number is None:
        return math.nan
    narrow = float(np.float32(number))
    return narrow if float(str(np.float32(number))) == number else float(number)
