"""Convert the arrays of a batch to explained frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..frames import Attribution, Batch, ExplainedFrame, Frame
from ..models.targets import Target
from .compiled_method import BatchResult

ExplainedBatch: TypeAlias = tuple[Batch, tuple[ExplainedFrame, ...]]
"""A batch, and the results for those of its frames that have a model input."""


def hold_between(batches: Iterable[ExplainedBatch], before: ExplainedFrame | None = None) -> Iterator[ExplainedFrame]:
    """Yield the frames one by one; those that are not explained hold the result before them.

    Frames before the first explained one are dropped; `streamcam.temporal.frame_selector` always selects the first.

    Args:
        batches: in order.
        before: the frame before them, if they continue a run.
    """
    last = before
    for batch, explained in batches:
        results = iter(explained)
        for frame in batch:
            if frame.model_input is not None:
                last = next(results)
            elif last is not None:
                last = replace(last, frame=frame, held=True, errors=(), quality_metrics={})
            if last is not None:
                yield last


def make_explained_frames(
    frames: Sequence[Frame], result: BatchResult, targets: Sequence[Target], labels: Sequence[str]
) -> tuple[ExplainedFrame, ...]:
    """Return the explained frames of a batch.

    Args:
        frames: the explained frames, in the order of the result; their model input is dropped to keep queues small.
        result: the batch's arrays.
        targets: the targets of the result.
        labels: names of the model's classes.
    """
    return tuple(
        ExplainedFrame(
            frame=replace(frame, model_input=None),
            attributions=make_attributions(result, n, targets, labels),
            top=tuple(
                (int(c), float(p)) for c, p in zip(result.top_classes[n], result.top_probabilities[n], strict=True)
            ),
            errors=tuple(filter(None, [non_finite_reason(result, n)])),
            quality_metrics={
                name: tuple(float(value) for value in values[n]) for name, values in result.quality_metrics.items()
            },
        )
        for n, frame in enumerate(frames)
    )


def make_attributions(
    result: BatchResult, n: int, targets: Sequence[Target], labels: Sequence[str]
) -> tuple[Attribution, ...]:
    """Return the attributions of a batch's ``n``-th image, for each target; zeros if `non_finite_reason`."""
    return tuple(_make_attribution(result, n, t, target, labels) for t, target in enumerate(targets))


def _make_attribution(result: BatchResult, n: int, t: int, target: Target, labels: Sequence[str]) -> Attribution:
    heatmap, score = result.maps[n, t], float(result.scores[n, t])
    if not (np.isfinite(heatmap).all() and np.isfinite(score)):
        heatmap = np.zeros_like(heatmap)
    index = int(result.classes[n, t])
    has_class = index >= 0
    return Attribution(
        heatmap=heatmap,
        label=labels[index] if has_class else target.label,
        score=score,
        probability=float(result.probabilities[n, t]) if has_class else None,
        class_index=index if has_class else None,
    )


def non_finite_reason(result: BatchResult, n: int) -> str:
    """Return which output for a batch's ``n``-th image is not a number; empty if none."""
    if not np.isfinite(result.scores[n]).all():
        return "the model's answer is not a number"
    return "" if np.isfinite(result.maps[n]).all() else "the method's map is not a number"
