from __future__ import annotations

import numpy as np
import pytest

from streamcam.compose.upsample import LEVELS, MapUpsampler
from streamcam.geometry import fit_to_input


@pytest.mark.parametrize("cells", [(1, 1), (2, 3), (7, 7), (224, 224), (300, 5)])
@pytest.mark.parametrize("size", [(640, 360), (101, 63), (2, 2), (1, 1)])
def test_even_evidence_is_even_everywhere(size, cells):
    levels = MapUpsampler(fit_to_input("stretch", size, (224, 224)), cells)(
        np.full(cells[::-1], 3.0, np.float32), 6.0, 1
    )
    assert levels.values.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
    assert np.abs(levels.values - (LEVELS - 1) / 2).max() <= 1


def test_each_cell_keeps_its_value_at_its_centre():
    rng = np.random.default_rng(0)
    heatmap = rng.random((7, 7)).astype(np.float32)
    values = MapUpsampler(fit_to_input("stretch", (1400, 1400), (224, 224)), (7, 7))(heatmap, 1.0, 0).values
    np.testing.assert_allclose(values[50::100, 50::100] / (LEVELS - 1), heatmap, atol=0.01)


def test_a_ramp_stays_a_straight_ramp_inside():
    ramp = np.broadcast_to(np.linspace(0, 1, 7), (7, 7)).astype(np.float32)
    values = MapUpsampler(fit_to_input("stretch", (1400, 1400), (224, 224)), (7, 7))(ramp, 1.0, 0).values
    centres = (np.arange(700) + 0.5) / 100
    expected = np.interp(centres, np.arange(7) + 0.5, np.linspace(0, 1, 7))
    inside = (centres > 1.5) & (centres < 5.5)
    np.testing.assert_allclose(values[350, inside] / (LEVELS - 1), expected[inside], atol=0.001)


def test_bands_and_parts_change_nothing():
    """What is interpolated for a part, or in bands, equals the plain product of whole matrices."""
    rng = np.random.default_rng(1)
    heatmap = np.zeros((60, 80), np.float32)
    heatmap[20:30, 40:50] = rng.random((10, 10))
    upsampler = MapUpsampler(fit_to_input("letterbox", (854, 480), (224, 224)), (80, 60))
    everything = upsampler(heatmap, 1.0, 0).values.copy()
    part = upsampler(heatmap, 1.0, 30)
    height, width = part.values.shape
    assert (height, width) < everything.shape
    window = np.s_[part.top : part.top + height, part.left : part.left + width]
    np.testing.assert_array_equal(part.values, everything[window])
    everything[window] = 0
    assert everything.max() < 30


def test_too_faint_evidence_is_no_part():
    upsampler = MapUpsampler(fit_to_input("stretch", (64, 64), (224, 224)), (7, 7))
    assert upsampler(np.full((7, 7), 0.001, np.float32), 1.0, 100).values.size == 0
