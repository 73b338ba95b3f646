from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.config import TimeOptions
from streamcam.frames import Explained
from streamcam.temporal import over_time


def item(peak: float) -> Explained:
    heatmap = np.full((2, 3), -1.0, np.float32)
    heatmap[0, 0] = peak
    return Explained(frame=None, heatmap=heatmap, target=0, label="", probability=0.5, logit=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("running", [0, 2, 2, 5, 5]), ("frame", [0, 2, 1, 5, 0]), (3.0, [3, 3, 3, 3, 3])],
)
def test_full_scale(scale: Any, expected: list[float]) -> None:
    out = list(over_time([item(p) for p in (0, 2, 1, 5, -0.5)], TimeOptions(scale=scale)))
    assert [e.full_scale for e in out] == expected
