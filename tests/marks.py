"""Mark parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_except(fast: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """Mark all values slow but those that the fast run keeps."""
    kept = list(fast)
    return [value if value in kept else pytest.param(value, marks=pytest.mark.slow) for value in values]
