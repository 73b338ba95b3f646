"""``normalized-twice``: values that were scaled two times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, ImageRecord, StageEvidence
from ..ranges import RANGE_WORDS, expected_range, is_overflow, record_range, stage_range, words_of_range
from .common import remedy_for
from .constant import constant_records

_MIN_FACTOR = 1 / 20
"""Least change of contrast by a step that is no division by 127.5 or 255."""


def check_normalized_twice(evidence: Evidence) -> Iterator[Fault]:
    """Find values that were, or will be, normalised twice."""
    for chain in evidence.chains():
        found = ((stage, _twice(stage, before)) for before, stage in zip([None, *chain], chain, strict=False))
        stage, records = next((one for one in found if one[1]), (chain[0], []))
        if records:
            is_all = len(records) == len(stage.records)
            low, high = min(one.low for one in records), max(one.high for one in records)
            limits = words_of_range(*stage.range) if is_all else words_of_range(low, high)
            part = "" if is_all else f"{count_of(len(records), 'image')} of {len(stage.records)}: "
            yield Fault(
                "normalized-twice",
                stage.name,
                f"{part}values of {limits} are those of images that were normalised twice; remove one of the two",
                len(records),
                tuple(record.index for record in records[:100]),
            )
            continue
        yield from _against_model(evidence, chain[-1:])


def _against_model(evidence: Evidence, last: list[StageEvidence]) -> Iterator[Fault]:
    expectation = evidence.expectation
    if expectation is None or not expectation.scales_itself or not last:
        return
    stage, expected = last[0], expected_range(expectation)
    found = stage_range(stage)
    normalized = ("0..1", "-1..1", "standardized", "caffe") if expected == "0..255" else ("-1..1", "standardized")
    if stage.is_float and found in normalized and found != expected:
        yield Fault(
            "normalized-twice",
            stage.name,
            f"{expectation.name} normalises its input itself ({expectation.reason}) and expects "
            f"{RANGE_WORDS[expected]}, but gets values of {words_of_range(*stage.range)}, normalised already; "
            f"{remedy_for(expectation, found)}",
            stage.count,
        )


def _twice(stage: StageEvidence, before: StageEvidence | None) -> Sequence[ImageRecord]:
    """Return the images of a stage that were normalised twice.

    Args:
        stage: the stage.
        before: the stage before it, which a second normalisation leaves less contrast than any other step does.
    """
    if not stage.is_float or not stage.records or (before is not None and is_overflow(before, stage)):
        return []
    if before is not None and _is_doubled(before, stage):
        return stage.records
    if before is not None and before.is_float and stage_range(before) != "0..255":
        contrast = float(stage.std.mean()) / max(float(before.std.mean()), 1e-9)
        if _MIN_FACTOR < contrast < 1:
            return []  # faded, not divided
    if stage_range(stage) == "twice":
        return stage.records
    flat = {record.index for record in constant_records(stage)}
    low, high = stage.range
    return [
        record
        for record in stage.records
        if record.index not in flat
        and record_range(record, is_float=True) == "twice"
        and record.high - record.low < 0.02 * (high - low)
        and high - low > 0.5
    ]


def _is_doubled(before: StageEvidence, stage: StageEvidence) -> bool:
    """Return True after ``x * 2 - 1`` a second time."""
    if stage_range(before) != "-1..1" or len(before.mean) != len(stage.mean):
        return False
    pairs = [(before.low, stage.low), (before.high, stage.high), (before.mean, stage.mean)]
    return all(bool(np.all(np.abs(2 * one - 1 - two) < 0.02)) for one, two in pairs)
