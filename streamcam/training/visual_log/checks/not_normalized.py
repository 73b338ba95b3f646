"""``not-normalized``: values of 0 to 255 where normalised ones are due."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from ....errors import count_of
from ..evidence import Evidence, Fault, StageEvidence
from ..ranges import RANGE_WORDS, expected_range, record_range, stage_range, words_of_range
from .common import remedy_for

_NORMALIZES = re.compile(r"normali[sz]|standardi[sz]", re.IGNORECASE)
_SCALES = re.compile(r"rescal|scaled|scaling", re.IGNORECASE)
"""Names of stages after which values are normalised, or may be; sizes are scaled too."""

_OTHERS = re.compile(r"stain|colou?r|illuminat|light|white|histogram|size|shape|aspect|label|text", re.IGNORECASE)
"""Names of what else is normalised."""

_BEFORE = re.compile(r"\b(before|pre|un|not)[ _-]?", re.IGNORECASE)


def check_not_normalized(evidence: Evidence) -> Iterator[Fault]:
    """Find values of 0-255 where others are due."""
    last = evidence.last_stages()
    ranges = {stage_range(stage) for stage in last}
    for stage in last:
        found = stage_range(stage)
        expectation = evidence.expectation
        if found == "0..255" and (few := _outnumbered(stage)):
            yield Fault(
                "not-normalized",
                stage.name,
                f"{count_of(len(few), 'image')} of {len(stage.records)} with values of 0 to 255 among normalised ones; "
                "normalise all images by the same code",
                len(few),
                tuple(few[:100]),
            )
        elif found == "0..255" and expectation is not None and expected_range(expectation) not in ("0..255", "other"):
            expected = RANGE_WORDS[expected_range(expectation)]
            wants = expectation.reason if expectation.is_guess else f"expects {expected} ({expectation.reason})"
            remedy = "normalise them in the pipeline, or put a Rescaling layer into the model"
            remedy = remedy if expectation.is_guess else remedy_for(expectation, found)
            yield Fault(
                "not-normalized",
                stage.name,
                f"values of {words_of_range(*stage.range)} reach {expectation.name}: {wants}; {remedy}",
                stage.count,
            )
        elif found == "0..255" and stage.is_float and _is_named(stage, evidence):
            yield Fault(
                "not-normalized",
                stage.name,
                f"the stage is named {stage.name!r}, but its values are {words_of_range(*stage.range)}, as before it; "
                "check that the result of the normalisation is used",
                stage.count,
            )
        elif found == "0..255" and ranges - {"0..255", "flat", "twice"}:
            others = next(one for one in last if stage_range(one) not in ("0..255", "flat", "twice"))
            yield Fault(
                "not-normalized",
                stage.name,
                f"its values are {words_of_range(*stage.range)}, those of {others.name} are "
                f"{words_of_range(*others.range)}: one data set is normalised, the other is not",
                stage.count,
            )


def _outnumbered(stage: StageEvidence) -> list[int]:
    """Return images of 0-255 if most images of a stage are normalised."""
    kinds = [(record.index, record_range(record, is_float=stage.is_float)) for record in stage.records]
    wide = [index for index, kind in kinds if kind == "0..255"]
    normalized = [index for index, kind in kinds if kind in ("0..1", "-1..1", "standardized")]
    # Dark images of 0-255 have a range of 0 to 1 only if they are black: those have no contrast.
    contrast = [
        record.index
        for record in stage.records
        if record.high - record.low > 0.2 and record.std > 0.02 and record.high <= 16
    ]
    normalized = [index for index in normalized if index in set(contrast)]
    return wide if stage.is_float and wide and len(normalized) >= max(2, 0.1 * len(kinds)) else []


def _is_named(stage: StageEvidence, evidence: Evidence) -> bool:
    """Return True if a normalisation by name left the values."""
    if _BEFORE.search(stage.name) or _OTHERS.search(stage.name):
        return False
    before = next((first for first, second in evidence.pairs() if second is stage), None)
    if before is None:
        return False
    close = 0.01 * (stage.range[1] - stage.range[0])
    is_same = len(before.mean) == len(stage.mean) and bool(np.all(np.abs(before.mean - stage.mean) < close))
    is_same &= all(abs(one - two) < close for one, two in zip(before.range, stage.range, strict=True))
    is_spatial = set(before.shapes) != set(stage.shapes)
    return is_same and bool(_NORMALIZES.search(stage.name) or (_SCALES.search(stage.name) and not is_spatial))
