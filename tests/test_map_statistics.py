"""Statistics of maps against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from streamcam.map_statistics import (
    area,
    box_coverage,
    centroid,
    drift,
    entropy,
    evidence,
    mask_coverage,
    region_share,
)


def point(row: int, column: int, shape: tuple[int, int] = (4, 8)) -> np.ndarray:
    weights = np.zeros(shape)
    weights[row, column] = 3.0
    return weights


EVEN = np.full((4, 8), 0.25)


def test_evidence_ignores_negative_values_or_counts_their_size() -> None:
    maps = np.array([[1.0, -2.0], [np.nan, -np.inf]])
    np.testing.assert_array_equal(evidence(maps), [[1, 0], [0, 0]])
    np.testing.assert_array_equal(evidence(maps, signed=True), [[1, 2], [0, 0]])


def test_a_point_and_an_even_map() -> None:
    assert area(point(1, 2)) == 1 / 32
    assert area(EVEN) == 1.0
    assert centroid(point(1, 2)) == (2.5 / 8, 1.5 / 4)
    assert centroid(EVEN) == pytest.approx((0.5, 0.5))
    assert entropy(point(1, 2)) == 0.0
    assert entropy(EVEN) == pytest.approx(1.0)


def test_area_counts_positions_of_at_least_half_the_peak() -> None:
    assert area(np.array([[4.0, 2.0], [1.9, 0.0]])) == 0.5


def test_centroid_is_the_weighted_mean() -> None:
    weights = np.array([[1.0, 3.0]])
    assert centroid(weights) == (pytest.approx((0.25 + 3 * 0.75) / 4), pytest.approx(0.5))


def test_entropy_of_two_equal_positions_of_four_is_a_half() -> None:
    assert entropy(np.array([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx(0.5)
    assert entropy(np.ones((1, 1))) == 0.0


def test_drift_is_the_share_that_moved() -> None:
    assert drift(point(0, 0), point(3, 7)) == 1.0
    assert drift(point(0, 0), 7 * point(0, 0)) == 0.0
    assert drift(np.array([[1.0, 1.0]]), np.array([[3.0, 1.0]])) == pytest.approx(0.25)


def test_a_box_covers_parts_of_positions() -> None:
    # 0.375 of the width is 3 of 8 columns; 0.3 of the height is 1.2 of 4 rows.
    coverage = box_coverage((0.0, 0.0, 0.375, 0.3), (4, 8))
    assert coverage[0] == pytest.approx([1, 1, 1, 0, 0, 0, 0, 0])
    assert coverage[1] == pytest.approx([0.2, 0.2, 0.2, 0, 0, 0, 0, 0])
    assert region_share(EVEN, coverage) == pytest.approx(0.375 * 0.3)
    assert region_share(point(1, 2), coverage) == pytest.approx(0.2)


@pytest.mark.parametrize("shape", [(4, 8), (3, 5), (64, 96)])
def test_a_mask_equals_the_box_that_it_shows(shape: tuple[int, int]) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[12:36, :16] = 255
    np.testing.assert_allclose(mask_coverage(mask, shape), box_coverage((0, 0.25, 0.25, 0.75), shape), atol=1e-12)


def test_a_map_without_evidence_has_no_statistics() -> None:
    maps = np.stack([np.zeros((4, 8)), EVEN])
    for values in (area(maps), *centroid(maps), entropy(maps), drift(maps, maps), region_share(maps, np.ones((4, 8)))):
        assert np.isnan(values[0])
        assert np.isfinite(values[1])


def test_tiny_and_huge_values_are_no_problem() -> None:
    for scale in (1e-310, 1e300):
        assert centroid(EVEN * scale) == pytest.approx((0.5, 0.5))
        assert entropy(EVEN * scale) == pytest.approx(1.0)


def test_many_maps_at_once() -> None:
    maps = np.stack([[point(0, 0), point(1, 1)], [point(2, 2), EVEN]])
    assert area(maps).shape == entropy(maps).shape == (2, 2)
    assert centroid(maps)[0][1, 0] == 2.5 / 8
