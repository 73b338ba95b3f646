"""``augmentation``: a step that leaves too little of the object.

Each sample is compared with itself one stage before: how much of its detail is found again, after any flip, shift,
crop, zoom or rotation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....errors import count_of
from ..alignment import Remains, compare, has_structure
from ..evidence import Evidence, Fault, Sample, StageEvidence
from ..matching import flat_share, pair_records
from ..ranges import is_overflow
from .constant import constant_records

MAX_SAMPLES = 16
MIN_SIMILARITY = 0.4
SURE_SIMILARITY = 0.7
MAX_FLAT = 0.75
MIN_SHARPNESS = 0.06
_MIN_SHARE = 1 / 3


def check_augmentation(evidence: Evidence) -> Iterator[Fault]:
    """Find steps after which most of the image is gone."""
    for first, second in evidence.pairs():
        if second.split != "train" or is_overflow(first, second):
            continue
        fault = _between(first, second)
        if fault is not None:
            yield fault
            return


def _between(first: StageEvidence, second: StageEvidence) -> Fault | None:
    pairs = pair_records(first, second)
    if not len(pairs):
        return None
    own = {sample.index: sample for sample in first.samples}
    other = {sample.index: sample for sample in second.samples}
    if pairs.known_by == "order":
        indices = [index for index in other if index in own][:MAX_SAMPLES]
        samples = [(own[index], other[index]) for index in indices]
    else:
        matched = {two.index: one.index for one, two in zip(pairs.first, pairs.second, strict=True)}
        samples = [(own[matched[i]], other[i]) for i in other if matched.get(i) in own][:MAX_SAMPLES]
    blank = {record.index for record in constant_records(first)}
    samples = [
        (one, two)
        for one, two in samples
        if one.index not in blank and min(one.image.shape[:2]) >= 16 and _is_finite(one) and _is_finite(two)
    ]
    samples = [pair for pair in samples if has_structure(np.asarray(pair[0].image))]
    if len(samples) < 2:
        return None
    graphics = {record.index for record in first.records if flat_share(record) > 0.4}
    remains = [None if one.index in graphics else _remains(one, two) for one, two in samples]
    destroyed = [
        (two, left)
        for (one, two), left in zip(samples, remains, strict=True)
        if (_is_blank(two) if left is None else _is_destroyed(left))
    ]
    if len(destroyed) < max(2, _MIN_SHARE * len(samples)):
        return None
    if len(destroyed) > 0.9 * len(samples) and not _is_order_known(first, second, samples):
        return None
    left = [0.0 if one is None else max(one.similarity, 0) for _, one in destroyed]
    total = round(second.count * len(destroyed) / len(samples))
    return Fault(
        "augmentation",
        second.name,
        f"in {count_of(len(destroyed), 'sample')} of {len(samples)}, hardly anything of stage {first.name} is left "
        f"(similarity {np.mean(left):.2f}; 1 is unchanged): the object is gone, but its label stays; use weaker "
        "augmentation",
        max(total, len(destroyed)),
        tuple(sample.index for sample, _ in destroyed),
    )


def _remains(first: Sample, second: Sample) -> Remains | None:
    """Compare two samples; None if the second has no contrast at all."""
    image = np.asarray(second.image, np.float32)
    if float(image.max()) == float(image.min()):
        return None
    return compare(np.asarray(first.image, np.float32), image)


def _is_blank(sample: Sample) -> bool:
    image = np.asarray(sample.image, np.float32)
    return float(image.max()) - float(image.min()) <= 0.02 * max(float(np.abs(image).max()), 1e-9)


def _is_finite(sample: Sample) -> bool:
    return bool(np.isfinite(np.asarray(sample.image, np.float32)).all())


def _is_destroyed(left: Remains) -> bool:
    is_flat = left.flat > MAX_FLAT and left.similarity < SURE_SIMILARITY  # fewer colors keep the shapes
    return left.similarity < MIN_SIMILARITY or is_flat or left.sharpness < MIN_SHARPNESS


def _is_order_known(first: StageEvidence, second: StageEvidence, samples: list[tuple[Sample, Sample]]) -> bool:
    """Return True if the order of the images is known.

    Labels that agree tell so, and so does a sample of everything in which no image resembles any of the stage before.
    """
    labels = [(one.label, two.label) for one, two in samples if one.label is not None and two.label is not None]
    if len(labels) >= 8 and len({one for one, _ in labels}) > 1:
        return sum(one == two for one, two in labels) > 0.95 * len(labels)
    if first.count > len(first.samples):
        return True
    for _, two in samples[:4]:
        for one in first.samples[:MAX_SAMPLES]:
            left = _remains(one, two)
            if left is not None and left.similarity > 0.6:
                return False
    return True
