"""Frames for the encoders of peers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from streamcam.media.image_bytes import encode_png
from streamcam.media.planes import plane_arrays
from streamcam.media.webrtc_frames import WebRtcConverter
from tests.media_helpers import COLORS, color_patches, gradient_frame


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_all_become_what_browsers_take_them_for(matrix: int, full: bool, pixel_format: str) -> None:
    shown = color_patches(matrix, full, pixel_format)
    shown.colorspace, shown.color_range = matrix, 2 if full else 1
    converted = WebRtcConverter().convert(shown, 7)
    assert (converted.format.name, converted.width, converted.height, converted.pts) == ("yuv420p", 256, 64, 7)
    converted.colorspace, converted.color_range = 6, 1
    back = np.asarray(Image.open(io.BytesIO(encode_png(converted))).convert("RGB"))
    assert np.abs(back[32, 16::32].astype(int) - COLORS).max() <= 6


def test_untagged_high_definition_is_bt709() -> None:
    shown = color_patches(1, False).reformat(1280, 320)
    shown.colorspace, shown.color_range = 2, 0
    converted = WebRtcConverter().convert(shown, 0)
    converted.colorspace, converted.color_range = 6, 1
    back = np.asarray(Image.open(io.BytesIO(encode_png(converted))).convert("RGB"))
    assert np.abs(back[160, 80::160].astype(int) - COLORS).max() <= 5


def test_it_is_the_peers_own() -> None:
    shown = gradient_frame(160, 96, 3)
    before = [plane.copy() for plane in plane_arrays(shown)]
    converted = WebRtcConverter().convert(shown, 1)
    for mine, theirs in zip(plane_arrays(converted), before, strict=True):
        assert np.array_equal(mine, theirs)
        mine[...] = 0
    for plane, theirs in zip(plane_arrays(shown), before, strict=True):
        assert np.array_equal(plane, theirs)
    assert shown.pts != 1
