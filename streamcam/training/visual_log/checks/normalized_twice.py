"""``normalized-twice``: values that were scaled two times."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import count_of
from ..evidence import Evidence, Fault, StageEvidence
from ..ranges import RANGE_WORDS, expected_range, record_range, stage_range, words_of_range
from .constant import constant_records


def check_normalized_twice(evidence: Evidence) -> Iterator[Fault]:
    """Find values that were, or will be, normalised twice."""
    for chain in evidence.chains():
        stage = next((one for one in chain if _twice(one)), None)
        if stage is not None:
            indices = _twice(stage)
            low, high = stage.range
            low_all, high_all = min(one.low for one in stage.records), max(one.high for one in stage.records)
            part = "" if len(indices) == len(stage.records) else f"{count_of(len(indices), 'image')} of them: "
            yield Fault(
                "normalized-twice",
                stage.name,
                f"{part}values of {words_of_range(low if not part else low_all, high if not part else high_all)} are "
                "those of images that were normalised twice; remove one of the two",
                len(indices),
                tuple(indices[:100]),
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
            "remove the normalisation from the pipeline",
            stage.count,
        )


def _twice(stage: StageEvidence) -> list[int]:
    """Return the images of a stage that were normalised twice."""
    if not stage.is_float or not stage.records:
        return []
    if stage_range(stage) == "twice":
        return [record.index for record in stage.records]
    flat = {record.index for record in constant_records(stage)}
    low, high = stage.range
    return [
        record.index
        for record in stage.records
        if record.index not in flat
        and record_range(record, is_float=True) == "twice"
        and record.high - record.low < 0.02 * (high - low)
        and high - low > 0.5
    ]
