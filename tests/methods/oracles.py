"""Maps of one class, and reference implementations to compare them with."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.engine.executables import build_executable

INDEX = 1


def maps_of(model: Any, method: str, images: Any, **options: Any) -> Any:
    return build_executable(model, method, target=str(INDEX), **options)(images).maps[:, 0].astype(np.float64)


def relu(values: Any) -> Any:
    return np.maximum(values, 0)


def close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0


def upsample(heatmap: Any, height: int, width: int) -> Any:
    """Half-pixel bilinear, one pixel after the other."""
    rows, columns = heatmap.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = min(int(v), rows - 2), min(int(u), columns - 2)
            b, a = v - top, u - left
            block = heatmap[top : top + 2, left : left + 2]
            out[y, x] = np.array([1 - b, b]) @ block @ np.array([1 - a, a])
    return out
