"""``imbalance``: some classes have far fewer images than others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence, Fault, StageEvidence
from .common import class_name

_MIN_RATIO = 3.0
_MIN_SIGMAS = 6.0
"""Least deviation from equal numbers, in standard deviations of the chi-square statistic: chance alone stays below."""


def check_imbalance(evidence: Evidence) -> Iterator[Fault]:
    """Compare the number of images of the classes in each data set."""
    for stage in evidence.first_stages():
        counts = _class_counts(stage, evidence.num_classes)
        if len(counts) < 2 or not stage.is_complete:
            continue
        numbers = np.array(list(counts.values()), np.float64)
        expected = numbers.mean()
        deviation = float(((numbers - expected) ** 2 / expected).sum()) - (len(numbers) - 1)
        if deviation < _MIN_SIGMAS * np.sqrt(2 * (len(numbers) - 1)):
            continue
        most, least = max(counts, key=lambda one: counts[one]), min(counts, key=lambda one: counts[one])
        if counts[most] < _MIN_RATIO * counts[least]:
            continue
        few = int((numbers < expected / 2).sum())
        yield Fault(
            "imbalance",
            stage.name,
            f"class {class_name(evidence, most)} has {counts[most]} images, class {class_name(evidence, least)} has "
            f"{counts[least]}: the network may learn to answer with the frequent class; use class weights, or sample "
            f"the classes equally",
            int(counts[least] if few == 0 else numbers[numbers < expected / 2].sum()),
        )


def _class_counts(stage: StageEvidence, num_classes: int) -> dict[int, int]:
    """Return the number of images of each class, including classes without any."""
    if not stage.labels:
        return {}
    known = range(num_classes) if 0 < num_classes <= 1000 and max(stage.labels) < num_classes else stage.labels
    if num_classes > 0 and len(stage.labels) < num_classes / 2:
        known = stage.labels  # a subset of the classes was chosen on purpose
    return {label: stage.labels.get(label, 0) for label in known}
