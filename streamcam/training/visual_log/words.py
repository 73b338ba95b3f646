"""Describe stages in words and as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import count_of
from .evidence import FloatArray, StageEvidence

HISTOGRAM_BINS = 48


def describe_stage(stage: StageEvidence) -> str:
    """Return a line: number, shapes, dtype, range and labels."""
    shapes = [describe_shape(shape) for shape in stage.shapes]
    more = f" and {count_of(len(shapes) - 2, 'other shape')}" if len(shapes) > 2 else ""
    low, high = stage.range
    labels = f", {count_of(len(stage.labels), 'class', 'classes')}" if stage.labels else ""
    bad = f", {stage.not_finite[0]} with NaN or infinite values" if stage.not_finite[0] else ""
    return (
        f"{count_of(stage.count, 'image')} of {' and '.join(shapes[:2])}{more}, {stage.dtype}, "
        f"{low:.4g} to {high:.4g}, mean {float(stage.mean.mean()):.4g}{labels}{bad}"
    )


def printable(text: str) -> str:
    """Return a text without bytes that are no text.

    Args:
        text: such as a path.
    """
    return text.encode(errors="replace").decode()


def describe_shape(shape: tuple[int, int, int]) -> str:
    """Return a shape as width, height and channels: ``640x360x3``."""
    height, width, channels = shape
    return f"{width}x{height}x{channels}"


def histogram(stage: StageEvidence) -> tuple[FloatArray, FloatArray]:
    """Return counts and edges of the values of a stage."""
    if not len(stage.values):
        return np.zeros(HISTOGRAM_BINS), np.linspace(0, 1, HISTOGRAM_BINS + 1)
    low, high = stage.range
    if not np.isfinite([low, high]).all() or high <= low:
        low, high = low - 0.5, low + 0.5
    counts, edges = np.histogram(stage.values, HISTOGRAM_BINS, (low, high))
    return counts.astype(np.float64), edges


def stage_to_dict(stage: StageEvidence) -> dict[str, Any]:
    """Return a stage as values for JSON."""
    low, high = stage.range
    counts, edges = histogram(stage)
    return {
        "name": stage.name,
        "split": stage.split,
        "count": stage.count,
        "shapes": [{"shape": list(shape), "count": count} for shape, count in stage.shapes.items()],
        "dtype": stage.dtype,
        "low": _finite(low),
        "high": _finite(high),
        "mean": [_finite(one) for one in stage.mean],
        "std": [_finite(one) for one in stage.std],
        "not_finite": stage.not_finite[0],
        "labels": {str(label): count for label, count in stage.labels.items()},
        "histogram": {"edges": [_finite(edges[0]), _finite(edges[-1])], "counts": [int(one) for one in counts]},
        "is_complete": stage.is_complete,
        "is_reference": stage.is_reference,
    }


def _finite(value: Any) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
