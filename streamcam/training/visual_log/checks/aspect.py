"""``aspect``: images that were squashed or stretched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, FloatArray, ImageRecord, StageEvidence
from ..matching import pair_records, resize_nearest
from ..recorder import shrink

_MIN_RATIO = 1.15
"""Least change of width against height that counts."""

_MAX_FILE_RATIO = 2.0
"""Files wider or higher than this cannot enter a square input without loss."""


def check_aspect(evidence: Evidence) -> Iterator[Fault]:
    """Find the first stages whose images are squashed."""
    for chain in evidence.chains(references=True):
        fault = None
        for first, second in itertools.pairwise(chain):
            fault = fault or _between(first, second)
        if fault is None and len(chain) == 1:
            fault = _files(chain[0])
        if fault is not None:
            yield fault


def _between(first: StageEvidence, second: StageEvidence) -> Fault | None:
    pairs = pair_records(first, second)
    ratios, indices = [], []
    for one, two in zip(pairs.first, pairs.second, strict=True):
        ratio = _aspect(one) / _aspect(two)
        if max(ratio, 1 / ratio) >= _MIN_RATIO and _shows_all(one, two):
            ratios.append(max(ratio, 1 / ratio))
            indices.append(two.index)
    if len(ratios) < max(1, 0.05 * len(pairs)):
        return None
    before, after = next(
        (one.shape, two.shape) for one, two in zip(pairs.first, pairs.second, strict=True) if two.index == indices[0]
    )
    return Fault(
        "aspect",
        second.name,
        f"{count_of(len(ratios), 'image')} of {len(pairs)} squashed by a factor of up to {max(ratios):.2g}, such as "
        f"{before[1]}x{before[0]} to {after[1]}x{after[0]}; crop or pad instead (crop_to_aspect_ratio=True or "
        "pad_to_aspect_ratio=True in Keras, tf.image.resize_with_pad)",
        second.count if len(ratios) == len(pairs) else len(ratios),
        tuple(indices),
    )


def _files(stage: StageEvidence) -> Fault | None:
    """Find files that a resize to a square would squash."""
    long = [one for one in stage.records if max(_aspect(one), 1 / _aspect(one)) >= _MAX_FILE_RATIO]
    if not long or not any(record.path for record in long):
        return None
    return Fault(
        "aspect",
        stage.name,
        f"{count_of(len(long), 'image')} of {len(stage.records)} at least twice as long as wide: a resize to a square "
        "squashes them; crop or pad instead (crop_to_aspect_ratio=True or pad_to_aspect_ratio=True in Keras)",
        len(long),
        tuple(record.index for record in long),
    )


def _aspect(record: ImageRecord) -> float:
    return record.shape[1] / record.shape[0]


def _shows_all(first: ImageRecord, second: ImageRecord) -> bool:
    """Return True if an image was stretched, not cropped or padded."""
    stretched = _luma(first)
    other = _luma(second)
    if _correlation(stretched, other[:, ::-1]) > _correlation(stretched, other):
        other = other[:, ::-1]  # mirrored in the same step
    whole = _correlation(stretched, other)
    if whole < 0.9:
        return False
    ratio = _aspect(first) / _aspect(second)
    return whole > max(_correlation(_cropped(first, ratio), other), _correlation(_padded(first, ratio), other)) + 0.003


def _cropped(record: ImageRecord, ratio: float) -> FloatArray:
    """Return the centre that a crop keeps, as a thumbnail."""
    image = record.thumbnail.astype(np.float32)
    height, width = image.shape[:2]
    keep_rows = max(1, round(height * min(1, ratio)))
    keep_columns = max(1, round(width * min(1, 1 / ratio)))
    top, left = (height - keep_rows) // 2, (width - keep_columns) // 2
    return _to_luma(image[top : top + keep_rows, left : left + keep_columns])


def _padded(record: ImageRecord, ratio: float) -> FloatArray:
    """Return the image between two bars, as a thumbnail."""
    image = record.thumbnail.astype(np.float32)
    height, width = image.shape[:2]
    rows = max(1, round(height / max(1, ratio)))
    columns = max(1, round(width * min(1, ratio)))
    small = shrink(image, 32)[np.arange(rows) * height // rows][:, np.arange(columns) * width // columns]
    canvas = np.zeros_like(image)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas[top : top + rows, left : left + columns] = small
    return _to_luma(canvas)


def _luma(record: ImageRecord) -> FloatArray:
    return _to_luma(record.thumbnail.astype(np.float32))


def _to_luma(image: FloatArray) -> FloatArray:
    luma: FloatArray = resize_nearest(image)[..., :3].mean(2)
    return luma


def _correlation(one: FloatArray, two: FloatArray) -> float:
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-9))
