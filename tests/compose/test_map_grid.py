"""Grids of maps: colors, scales and sizes."""

from __future__ import annotations

import numpy as np

from streamcam.compose.colormaps import colormap
from streamcam.compose.map_grid import MapGrid, MapGroup

TILE = 72
IMAGE = np.full((20, 30, 3), (10, 200, 30), np.uint8)


def group(high: tuple[float, ...], spatial_shape: tuple[int, int] = (2, 2), name: str = "viridis") -> MapGroup:
    count = len(high)
    return MapGroup(
        title="layer",
        detail="detail",
        spatial_shape=spatial_shape,
        labels=tuple(map(str, range(count))),
        is_marked=(False,) * count,
        low=np.zeros(count),
        high=np.array(high),
        colormap=name,
    )


def count_pixels(image: np.ndarray, color: np.ndarray) -> int:
    return int((image == color).all(axis=2).sum())


def color_of(value: float, name: str = "viridis") -> np.ndarray:
    return np.rint(colormap(name, 256)[round(value * 255)] * 255).astype(np.uint8)


def test_each_position_is_a_block_in_the_color_of_its_value() -> None:
    grid = MapGrid(["title"], (30, 20), [group((1.0, 2.0))])
    maps = np.array([[[1.0, 2.0], [0.4, 0.0]], [[0.4, 0.0], [0.2, 0.0]]], np.float32)  # (h, w, n)
    drawn = grid.draw(IMAGE, [maps])
    assert drawn.shape == (grid.size[1], grid.size[0], 3)
    quarter = (TILE // 2) ** 2
    assert count_pixels(drawn, color_of(1.0)) == 2 * quarter  # 1 of 1, and 2 of 2
    assert count_pixels(drawn, color_of(0.4)) == 2 * quarter
    assert count_pixels(drawn, color_of(0.2)) == quarter
    assert count_pixels(drawn, color_of(0.0)) == 3 * quarter
    assert count_pixels(drawn, IMAGE[0, 0]) == 144 * 96


def test_values_outside_of_the_scale_and_nan_are_drawn() -> None:
    maps = np.array([[[5.0], [np.nan]], [[-3.0], [np.inf]]], np.float32)
    drawn = MapGrid([], (30, 20), [group((1.0,))]).draw(IMAGE, [maps])
    quarter = (TILE // 2) ** 2
    assert count_pixels(drawn, color_of(1.0)) == 2 * quarter
    assert count_pixels(drawn, color_of(0.0)) == 2 * quarter


def test_tiles_keep_the_aspect_ratio_and_wrap_into_rows() -> None:
    wide = MapGrid([], (30, 20), [group((1.0,) * 20, (3, 6), "gray")])
    drawn = wide.draw(IMAGE, [np.ones((3, 6, 20), np.float32)])
    white = (drawn == 255).all(axis=2)
    assert white.sum() == 20 * TILE * TILE // 2
    assert len(np.flatnonzero(np.diff(np.r_[False, white.any(axis=1)].astype(int)) == 1)) == 2
    assert [side % 2 for side in wide.size] == [0, 0]


def test_a_frame_does_not_remain_in_the_next() -> None:
    grid = MapGrid(["title"], (30, 20), [group((1.0,))])
    zeros, ones = np.zeros((2, 2, 1), np.float32), np.ones((2, 2, 1), np.float32)
    first = grid.draw(IMAGE, [zeros])
    captioned = grid.draw(IMAGE, [ones], "Frame 1")
    assert (captioned != first).any()
    np.testing.assert_array_equal(grid.draw(IMAGE, [zeros]), first)
