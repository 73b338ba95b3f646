"""The model's input, against exact area averages and color definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamcam.frames import ColorSpec
from streamcam.geometry import FITS, fit_to_input
from streamcam.media.rgb import from_rgb
from streamcam.sources.resize import LETTERBOX_GRAY, InputResizer
from streamcam.sources.tone_mapping import tone_map
from tests.media_helpers import COLORS, color_patches, planes


def grey(luma: NDArray[Any]) -> VideoFrame:
    """A full-range gray image of uint8 ``(h, w)``."""
    frame = VideoFrame(luma.shape[1], luma.shape[0], "yuv420p")
    y, cb, cr = planes(frame)
    y[:], cb[:], cr[:] = luma, 128, 128
    return frame


FULL_RANGE = ColorSpec(range=2, primaries=1, transfer=1, matrix=1)


def area(image: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """Exact average over the area of each cell of a ``rows × columns`` grid."""

    def weights(length: int, count: int) -> NDArray[np.float64]:
        edges = np.arange(count + 1) * length / count
        pixel = np.arange(length)
        overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        return np.maximum(overlap, 0) * count / length

    return weights(image.shape[0], rows) @ image @ weights(image.shape[1], columns).T


def test_scaling_down_averages_and_does_not_alias() -> None:
    rows, columns = np.mgrid[:360, :640]
    rings = np.round(127.5 + 100 * np.cos((rows**2 + columns**2) * (np.pi / 1280))).astype(np.uint8)
    view = InputResizer(fit_to_input("stretch", (640, 360), (112, 112)), FULL_RANGE)(grey(rings))
    error = view.mean(-1) - area(rings, 112, 112)
    assert np.sqrt((error**2).mean()) < 3
    assert rings.std() > 60


def test_rgb_images_are_averaged_in_full_color() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (180, 320, 3), np.uint8)
    view = InputResizer(fit_to_input("stretch", (320, 180), (64, 64)), ColorSpec())(from_rgb(rgb))
    for channel in range(3):
        assert np.abs(view[..., channel] - area(rgb[..., channel], 64, 64)).max() <= 1
    same = InputResizer(fit_to_input("stretch", (320, 180), (320, 180)), ColorSpec())(from_rgb(rgb))
    np.testing.assert_array_equal(same, rgb)


@pytest.mark.parametrize("mode", FITS)
@pytest.mark.parametrize("size", [(640, 360), (360, 640), (161, 97)])
def test_every_fit_puts_the_image_where_the_geometry_says(mode: Any, size: tuple[int, int]) -> None:
    geometry = fit_to_input(mode, size, (64, 64))
    columns = np.linspace(20, 230, size[0])
    rows = np.linspace(-15, 15, size[1])
    view = InputResizer(geometry, FULL_RANGE)(grey(np.round(columns[None] + rows[:, None])))
    width, height = geometry.input
    assert view.shape == (height, width, 3)
    assert view.flags.c_contiguous
    x = (np.arange(width) + 0.5 - geometry.offset[0]) * size[0] / geometry.scaled[0]
    y = (np.arange(height) + 0.5 - geometry.offset[1]) * size[1] / geometry.scaled[1]
    inside = ((y > 2) & (y < size[1] - 2))[:, None] & ((x > 2) & (x < size[0] - 2))[None]
    expected = (
        np.interp(x - 0.5, np.arange(size[0]), columns)[None] + np.interp(y - 0.5, np.arange(size[1]), rows)[:, None]
    )
    assert np.abs(view.mean(-1) - expected)[inside].max() < 2.5
    outside = ((y < 0) | (y > size[1]))[:, None] | ((x < 0) | (x > size[0]))[None]
    assert (view[outside] == LETTERBOX_GRAY).all()
    assert outside.any() == (mode == "letterbox")


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_colours_come_out_as_they_were_meant(matrix: int, full: bool, pixel_format: str) -> None:
    color = ColorSpec(range=1 + full, primaries=matrix, transfer=1, matrix=matrix)
    view = InputResizer(fit_to_input("stretch", (256, 64), (64, 32)), color)(color_patches(matrix, full, pixel_format))
    assert np.abs(view[16, 4::8].astype(int) - COLORS).max() <= 2


def test_unknown_matrix_follows_the_size() -> None:
    small = InputResizer(fit_to_input("stretch", (256, 64), (64, 32)), ColorSpec())(color_patches(6, False))
    assert np.abs(small[16, 4::8].astype(int) - COLORS).max() <= 2
    large = color_patches(1, False).reformat(1280, 720)
    seen = InputResizer(fit_to_input("stretch", (1280, 720), (64, 32)), ColorSpec())(large)
    assert np.abs(seen[16, 4::8].astype(int) - COLORS).max() <= 2


def pq_code(nits: float) -> float:
    """SMPTE ST 2084 inverse EOTF."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = (nits / 10000) ** m1
    return float(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def test_pq_greys_keep_their_light_and_white_stays_light() -> None:
    nits = np.array([0.0, 5, 20, 50, 100, 203, 1000, 4000])
    codes = np.round([pq_code(n) * 65535 for n in nits]).astype(np.uint16)
    view = tone_map(codes[None, :, None].repeat(3, -1), 16)[0].astype(float)
    assert np.ptp(view, axis=-1).max() <= 1
    linear = nits / 203
    below = linear < 0.7
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(view[below, 0], srgb[below], atol=1)
    assert (np.diff(view[:, 0]) > 0).all() or view[-1, 0] == 255
    assert view[5, 0] > 225


def test_hlg_reference_white_lands_near_white() -> None:
    grey75 = np.full((1, 1, 3), round(0.75 * 65535), np.uint16)  # BT.2408: HLG 75 % is reference white
    assert 225 < int(tone_map(grey75, 18)[0, 0, 0]) < 250


def test_hue_survives_the_mapping_of_highlights() -> None:
    red = np.array([[[pq_code(1500), pq_code(60), pq_code(60)]]]) * 65535
    view = tone_map(red.astype(np.uint16), 16)[0, 0].astype(int)
    assert view[0] > 235
    assert view[1] < 120
    assert view[2] < 120


def test_scaler_maps_hdr() -> None:
    frame = VideoFrame(64, 64, "yuv420p10le")
    y, cb, cr = planes(frame)
    y[:], cb[:], cr[:] = round(64 + 876 * pq_code(100)), 512, 512
    view = InputResizer(fit_to_input("stretch", (64, 64), (16, 16)), ColorSpec(1, 9, 16, 9))(frame)
    expected = (1.055 * (100 / 203) ** (1 / 2.4) - 0.055) * 255
    assert np.abs(view.astype(float) - expected).max() <= 2
