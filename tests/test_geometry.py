"""Every fit against arithmetic written out by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest

from streamcam.errors import OptionError
from streamcam.geometry import Geometry, fit_to_input, letterbox_size
from streamcam.options import Fit

SOURCES = [(1280, 720), (720, 1280), (853, 481), (224, 224), (64, 48)]


def input_to_source(geometry: Geometry, x: float, y: float) -> tuple[float, float]:
    return (
        (x - geometry.offset[0]) * geometry.source[0] / geometry.scaled[0],
        (y - geometry.offset[1]) * geometry.source[1] / geometry.scaled[1],
    )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("mode", get_args(Fit))
def test_a_cell_goes_back_to_where_it_looked(mode: Fit, source: tuple[int, int]) -> None:
    geometry = fit_to_input(mode, source, (224, 224))
    w, h = geometry.input[0] // 32, geometry.input[1] // 32
    rows, columns = geometry.upsample_matrices((w, h))
    for map_x in range(1, w - 1):
        for map_y in range(1, h - 1):
            one = np.zeros((h, w), np.float32)
            one[map_y, map_x] = 1
            upsampled = rows @ one @ columns.T
            x, y = input_to_source(geometry, (map_x + 0.5) * 32, (map_y + 0.5) * 32)
            visible = 1 < x < source[0] - 1 and 1 < y < source[1] - 1
            if visible:
                at_y, at_x = np.unravel_index(upsampled.argmax(), upsampled.shape)
                assert abs(at_x + 0.5 - x) <= 1
                assert abs(at_y + 0.5 - y) <= 1


def test_stretch_by_hand() -> None:
    rows, columns = fit_to_input("stretch", (8, 4), (4, 4)).upsample_matrices((4, 2))
    # Columns: 8 pixels over 4 cells; pixel 0 lies before the first centre (1.0), pixel 1 at 1.5 a quarter past it.
    np.testing.assert_allclose(columns[:4, :2], [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 0.75]])
    np.testing.assert_allclose(rows, [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


def test_crop_is_blind_outside_and_sums_to_one_inside() -> None:
    geometry = fit_to_input("crop", (400, 100), (100, 100))
    rows, columns = geometry.upsample_matrices((5, 5))
    assert geometry.scaled == (400, 100)
    seen = columns.sum(1)
    np.testing.assert_allclose(seen[150:250], 1, atol=1e-6)
    assert (seen[:150] == 0).all()
    assert (seen[250:] == 0).all()
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)


def test_letterbox_sees_everything_and_its_border_stays_outside() -> None:
    geometry = fit_to_input("letterbox", (400, 100), (100, 100))
    assert geometry.scaled == (100, 25)
    assert geometry.offset == (0, 37)
    rows, columns = geometry.upsample_matrices((10, 10))
    np.testing.assert_allclose(columns.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)
    assert (rows[:, :3] == 0).all()  # these cells lie in the border


@pytest.mark.parametrize(
    ("source", "expected"), [((1280, 720), (288, 160)), ((720, 1280), (160, 288)), ((500, 500), (224, 224))]
)
def test_native_keeps_aspect_and_area(source: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit_to_input("native", source, (224, 224)).input == expected


def test_pixels_that_are_not_square() -> None:
    """720x576 with pixels 64:45 is shown as 16:9."""
    wide = fit_to_input("letterbox", (720, 576), (224, 224), pixel_aspect=Fraction(64, 45))
    assert wide.scaled == (224, 126)
    assert fit_to_input("native", (720, 576), (224, 224), pixel_aspect=Fraction(64, 45)).input == (288, 160)


def test_half_size_planes_cover_the_same_image() -> None:
    geometry = fit_to_input("stretch", (640, 360), (224, 224))
    full_size, _ = geometry.upsample_matrices((7, 7))
    half, _ = geometry.upsample_matrices((7, 7), (320, 180))
    np.testing.assert_allclose(half, (full_size[0::2] + full_size[1::2]) / 2, atol=1e-2)  # but for the kinks


def test_a_single_cell_covers_everything() -> None:
    rows, columns = fit_to_input("stretch", (10, 10), (4, 4)).upsample_matrices((1, 1))
    assert (rows == 1).all()
    assert (columns == 1).all()


@pytest.mark.parametrize("source", [(10, 10_000), (16_000, 1)])
def test_slivers_stay_affordable(source: tuple[int, int]) -> None:
    width, height = fit_to_input("native", source, (224, 224)).input
    assert width * height <= 1.2 * 224 * 224
    assert fit_to_input("letterbox", source, (224, 224)).input == (224, 224)
    with pytest.raises(OptionError, match="too narrow"):
        fit_to_input("crop", source, (224, 224))


def test_unknown_mode() -> None:
    with pytest.raises(OptionError, match="letterbox"):
        fit_to_input("squash", (4, 4), (4, 4))  # type: ignore[arg-type]


def test_letterbox_size_fits_within_or_covers() -> None:
    assert letterbox_size((400, 100), (100, 100)) == (100, 25)
    assert letterbox_size((400, 100), (100, 100), cover=True) == (400, 100)
    assert letterbox_size((100, 400), (100, 100)) == (25, 100)
    assert letterbox_size((720, 576), (1024, 576), pixel_aspect=Fraction(64, 45)) == (1024, 576)
    assert letterbox_size((300, 203), (160, 96), multiple=2) == (142, 96)
    assert letterbox_size((5000, 1), (160, 96), multiple=2) == (160, 2)
