"""``wrong-range``: values that do not fit the model, the other data set, or the stage before."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence, Expectation, Fault, StageEvidence
from ..ranges import RANGE_WORDS, expected_range, is_overflow, stage_range, words_of_range
from .common import remedy_for


def check_wrong_range(evidence: Evidence) -> Iterator[Fault]:
    """Compare ranges with the model and between stages."""
    last = evidence.last_stages()
    reported = set()
    for stage in last:
        words = "" if evidence.expectation is None else _against_model(stage, evidence.expectation)
        if words:
            reported.add(stage.name)
            yield Fault("wrong-range", stage.name, words, stage.count)
    for first, second in evidence.pairs():
        words = _overflow(first, second)
        if words and second.name not in reported:
            reported.add(second.name)
            yield Fault("wrong-range", second.name, words, second.count)
    if len(last) == 2 and not reported:
        train, validation = last
        kinds = stage_range(train), stage_range(validation)
        usual = {"0..255", "0..1", "-1..1", "standardized", "caffe"}
        if kinds[0] != kinds[1] and set(kinds) <= usual and "0..255" not in kinds and not _is_close(train, validation):
            yield Fault(
                "wrong-range",
                validation.name,
                f"its values are {words_of_range(*validation.range)}, those of {train.name} are "
                f"{words_of_range(*train.range)}: use the same preprocessing for both",
                validation.count,
            )


def _against_model(stage: StageEvidence, expectation: Expectation) -> str:
    if expectation.is_guess:
        return ""
    expected, found = expected_range(expectation), stage_range(stage)
    if found == "flat" or (found == expected and expected != "other"):
        return ""
    low, high = stage.range
    least, most = min(expectation.low), max(expectation.high)
    if expected == "other" and found != "twice" and _fits(low, high, least, most):
        return ""
    if {found, expected} == {"-1..1", "standardized"} and not _is_symmetric(stage):
        return ""
    wanted = RANGE_WORDS[expected] if expected != "other" else words_of_range(least, most)
    return (
        f"{expectation.name} expects {wanted} ({expectation.reason}), but gets {words_of_range(low, high)}; "
        f"{remedy_for(expectation, found)}"
    )


def _fits(low: float, high: float, least: float, most: float) -> bool:
    """Return True if values lie in a range and use it."""
    span = most - least
    return low >= least - 0.2 * span and high <= most + 0.2 * span and high - low >= 0.3 * span


def _is_symmetric(stage: StageEvidence) -> bool:
    """Return True if the limits are exactly -1 and 1."""
    low, high = stage.range
    return abs(low + 1) < 0.02 and abs(high - 1) < 0.02


def _overflow(first: StageEvidence, second: StageEvidence) -> str:
    """Return words if a stage drives values far out of range."""
    if not is_overflow(first, second):
        return ""
    return (
        f"values of {words_of_range(*first.range)} ({first.name}) become {words_of_range(*second.range)}: the step "
        "assumes another range; set its value_range, or clip the result"
    )


def _is_close(one: StageEvidence, two: StageEvidence) -> bool:
    """Return True if two stages have nearly the same limits."""
    span = max(one.range[1] - one.range[0], two.range[1] - two.range[0])
    return all(abs(a - b) < 0.25 * span for a, b in zip(one.range, two.range, strict=True))
