"""Mark parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_except(fast: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """Mark all values slow but those that the fast run keeps."""
    kept = list(fast)
    return [value if value in kept else pytest.param(value, marks=pytest.mark.slow) for value in values]


def pairs(
    firsts: Iterable[Any],
    seconds: Iterable[Any],
    *,
    fast: Callable[[Any, Any], bool],
    kept: Callable[[Any, Any], bool],
) -> list[Any]:
    """Combine two lists: fast pairs, slow ones, and those that only ``make test-all`` runs."""
    every = [(first, second) for first in firsts for second in seconds]
    return [
        pair if fast(*pair) else pytest.param(*pair, marks=pytest.mark.slow if kept(*pair) else pytest.mark.exhaustive)
        for pair in every
    ]
