from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from streamcam.compose.colormaps import colormap
from streamcam.frames import ColorSpec, SourceInfo
from streamcam.media.color import rgb_to_ycbcr
from streamcam.options import COLORMAPS


def stream(transfer: int) -> SourceInfo:
    return SourceInfo("clip", 3840, 2160, "yuv420p10le", Fraction(1, 25), ColorSpec(1, 9, transfer, 9))


@pytest.mark.parametrize(("transfer", "signal"), [(16, 0.5807), (18, 0.75)], ids=["PQ", "HLG"])
def test_white_is_hdr_reference_white(transfer, signal):
    """BT.2408: 203 cd/m², a signal of 58 % in PQ and of 75 % in HLG."""
    (luma, cb, cr) = rgb_to_ycbcr(np.ones((1, 3)), stream(transfer))[0]
    assert luma == pytest.approx(64 + 876 * signal, abs=1.5)
    assert (cb, cr) == pytest.approx((512, 512), abs=0.5)


@pytest.mark.parametrize("transfer", [16, 18])
def test_black_is_black(transfer):
    assert rgb_to_ycbcr(np.zeros((1, 3)), stream(transfer))[0] == pytest.approx((64, 512, 512), abs=0.01)


def test_sdr_red_of_bt709_in_pq_is_less_than_the_red_of_bt2020():
    red = rgb_to_ycbcr(np.array([[1.0, 0, 0]]), stream(16))[0]
    assert 512 < red[2] < 512 + 448 * 0.5807


def test_colours_run_from_the_first_to_the_last_entry():
    ends = colormap("viridis", 4096)[[0, -1]] * 255
    np.testing.assert_allclose(ends, [[68, 1, 84], [253, 231, 37]], atol=1)


@pytest.mark.parametrize("name", [name for name in COLORMAPS if name != "auto"])
def test_a_name_of_matplotlib_means_its_colours(name):
    """OpenCV's tables of four old maps are built otherwise, by less than a fifth of a channel's range."""
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps[name](np.arange(256))[:, :3]
    tolerance = {"hot": 0.21, "jet": 0.14, "pink": 0.12, "hsv": 0.1}.get(name.removesuffix("_r"), 0.01)
    np.testing.assert_allclose(colormap(name, 256), expected, atol=tolerance)
