"""``constant``: images of one color."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import count_of
from ..evidence import Evidence, Fault, ImageRecord, StageEvidence
from ..ranges import is_overflow

_MAX_STD = 0.006
"""Largest standard deviation of a constant image, relative to the range of the stage: 1.5 of 255."""


def check_constant(evidence: Evidence) -> Iterator[Fault]:
    """Find the first stages with images of one color."""
    for chain in evidence.chains():
        for before, stage in zip([None, *chain], chain, strict=False):
            found = constant_records(stage)
            if before is not None and is_overflow(before, stage):
                break  # white or black for that reason
            if found:
                total = len(stage.records)
                yield Fault(
                    "constant",
                    stage.name,
                    f"{count_of(len(found), 'image')} of {total} with hardly any contrast: black, white or one color; "
                    "look for broken files, wrong crops and integer divisions",
                    len(found),
                    tuple(record.index for record in found),
                )
                break


def constant_records(stage: StageEvidence) -> list[ImageRecord]:
    """Return the images of a stage that have hardly any contrast."""
    low, high = stage.range
    spans = sorted(record.high - record.low for record in stage.records)
    # Few images may have values far beyond all others.
    span = min(high - low, 1.5 * spans[len(spans) * 9 // 10]) if spans else 0.0
    return [one for one in stage.records if is_constant(one, span)]


def is_constant(record: ImageRecord, span: float) -> bool:
    """Return True if an image has hardly any contrast.

    Args:
        record: the image.
        span: range of the values of the stage.
    """
    if record.high - record.low <= 0 or span <= 0:
        return True
    if record.std > _MAX_STD * span:
        return False
    # An image that was divided once too often has contrast relative to its mean.
    return record.low < 0 or record.std < 0.1 * abs(record.mean) or record.high > 0.05 * span
