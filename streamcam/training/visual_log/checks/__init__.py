"""The checks: one pure function a file, from evidence to faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from ..evidence import Evidence, Fault
from .aspect import check_aspect
from .augmentation import check_augmentation
from .bgr import check_bgr
from .constant import check_constant
from .duplicate import check_duplicate
from .imbalance import check_imbalance
from .label_shift import check_label_shift
from .leak import check_leak
from .nan import check_nan
from .normalized_twice import check_normalized_twice
from .not_normalized import check_not_normalized
from .shortcut import check_shortcut
from .wrong_range import check_wrong_range

Check: TypeAlias = Callable[[Evidence], Iterable[Fault]]

CHECKS: dict[str, Check] = {
    "nan": check_nan,
    "bgr": check_bgr,
    "normalized-twice": check_normalized_twice,
    "not-normalized": check_not_normalized,
    "wrong-range": check_wrong_range,
    "label-shift": check_label_shift,
    "leak": check_leak,
    "shortcut": check_shortcut,
    "augmentation": check_augmentation,
    "aspect": check_aspect,
    "constant": check_constant,
    "duplicate": check_duplicate,
    "imbalance": check_imbalance,
}
"""Checks by the name of their fault, the most harmful first."""


def find_faults(evidence: Evidence) -> tuple[Fault, ...]:
    """Run all checks."""
    return tuple(fault for check in CHECKS.values() for fault in check(evidence))
