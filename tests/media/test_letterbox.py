"""Images placed in canvases."""

from __future__ import annotations

import numpy as np
import pytest

from streamcam.media.letterbox import place


@pytest.mark.parametrize(
    ("left", "top", "expected"),
    [
        (1, 1, [[0, 0, 0], [0, 1, 2], [0, 3, 4]]),
        (-1, 0, [[2, 0, 0], [4, 0, 0], [0, 0, 0]]),
        (2, -1, [[0, 0, 3], [0, 0, 0], [0, 0, 0]]),
        (2, 2, [[0, 0, 0], [0, 0, 0], [0, 0, 1]]),
    ],
)
def test_images_are_cut_at_the_canvas_edges(left: int, top: int, expected: list[list[int]]) -> None:
    canvas = np.zeros((3, 3), np.uint8)
    place(canvas, np.array([[1, 2], [3, 4]], np.uint8), left, top)
    assert canvas.tolist() == expected
