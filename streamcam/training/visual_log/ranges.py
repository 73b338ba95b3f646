"""Name the range of values of a stage: 0-255, 0-1, -1 to 1, standardised, and what no usual normalisation gives."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from .evidence import Expectation, ImageRecord, StageEvidence

Range: TypeAlias = Literal["0..255", "0..1", "-1..1", "standardized", "caffe", "twice", "other", "flat"]

RANGE_WORDS: dict[Range, str] = {
    "0..255": "0 to 255",
    "0..1": "0 to 1",
    "-1..1": "-1 to 1",
    "standardized": "mean 0 and standard deviation 1",
    "caffe": "0 to 255 minus the mean of each channel",
    "twice": "a range that only two normalisations give",
    "other": "an unusual range",
    "flat": "one value",
}

CAFFE_MEANS = (103.939, 116.779, 123.68)
"""Blue, green and red, subtracted by `keras.applications` in mode ``caffe``."""


def stage_range(stage: StageEvidence) -> Range:
    """Return the name of a stage's range."""
    low, high = stage.range
    return range_of(low, high, std=float(stage.std.mean()), is_float=stage.is_float)


def record_range(record: ImageRecord, *, is_float: bool) -> Range:
    """Return the name of the range of one image."""
    return range_of(record.low, record.high, std=record.std, is_float=is_float)


def range_of(low: float, high: float, *, std: float, is_float: bool) -> Range:
    """Name a range of values; bicubic resizing may exceed its limits by 15 %.

    Args:
        low: smallest value.
        high: largest value.
        std: of all values.
        is_float: False for integers, which are never normalised.
    """
    if not np.isfinite([low, high]).all() or high <= low:
        return "flat"
    if is_float and _is_compressed(low, high, std):
        return "twice"
    span = high - low
    if is_float and abs(low + 3) < 0.01 and abs(high - 1) < 0.01:
        return "twice"  # x * 2 - 1, two times
    if low >= -40 and high > 4 and high <= 295 and (low >= -0.16 * high) and high > 1.16:
        return "0..255"
    if low >= -0.16 and high <= 1.16:
        return "0..1"
    if low >= -1.16 and high <= 1.16 and (low < -0.3):
        return "-1..1"
    if low < -16 and low >= -150 and low >= -130 and high <= 195 and span > 30:
        return "caffe"
    if low < -4.1 and low >= -14 and high <= 13 and std >= 2.5:
        return "twice"
    if low >= -12 and high <= 16 and low < -0.3 and std <= 2.2:
        return "standardized"
    if low < -150 and low >= -260 and high <= 160:
        return "twice"
    return "other"


def _is_compressed(low: float, high: float, std: float) -> bool:
    """Return True if all values lie as close as after two divisions."""
    return high - low < 0.05 and std > 1e-7


def expected_range(expectation: Expectation) -> Range:
    """Return the name of the range that a model expects."""
    low, high = min(expectation.low), max(expectation.high)
    if (round(low, 2), round(high, 2)) == (0, 255):
        return "0..255"
    if abs(low) < 0.01 and abs(high - 1) < 0.01:
        return "0..1"
    if abs(low + 1) < 0.02 and abs(high - 1) < 0.02:
        return "-1..1"
    if low < -90 and high > 100:
        return "caffe"
    if -4 < low < -1 and 1 < high < 4:
        return "standardized"
    return "other"


def is_overflow(first: StageEvidence, second: StageEvidence) -> bool:
    """Return True if a step drives values far out of range."""
    before, after = stage_range(first), stage_range(second)
    low, high = second.range
    is_out = (before == "0..1" and after in ("other", "0..255", "caffe") and (high > 2 or low < -2)) or (
        before == "0..255" and after == "other" and (high > 400 or low < -200) and high - low > 300
    )
    if before == "-1..1" and after in ("other", "0..255", "caffe") and max(high, -low) > 16:
        is_out = True
    is_infinite = second.not_finite[0] > second.count / 2  # the limits are those of the dtype
    return is_out and not is_infinite and not _is_rescaled(first, second)


def _is_rescaled(first: StageEvidence, second: StageEvidence) -> bool:
    """Return True if 0-1 was merely scaled to 0-255."""
    factor = float(second.std.mean()) / max(float(first.std.mean()), 1e-9)
    return 200 < factor < 300 and second.range[0] > -40 and second.range[1] < 300


def words_of_range(low: float, high: float) -> str:
    """Return two limits as text: ``0 to 255``."""
    return f"{low:.4g} to {high:.4g}"
