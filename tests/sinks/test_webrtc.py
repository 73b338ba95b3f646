"""Pictures for the encoders of peers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from streamcam.frames import planes_of
from streamcam.sinks.stills import png
from streamcam.sinks.webrtc import PeerPictures
from tests.media import COLOURS, patches, picture


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_all_become_what_browsers_take_them_for(matrix: int, full: bool, pixel_format: str) -> None:
    shown = patches(matrix, full, pixel_format)
    shown.colorspace, shown.color_range = matrix, 2 if full else 1
    own = PeerPictures().own(shown, 7)
    assert (own.format.name, own.width, own.height, own.pts) == ("yuv420p", 256, 64, 7)
    own.colorspace, own.color_range = 6, 1
    back = np.asarray(Image.open(io.BytesIO(png(own))).convert("RGB"))
    assert np.abs(back[32, 16::32].astype(int) - COLOURS).max() <= 6


def test_untagged_high_definition_is_bt709() -> None:
    shown = patches(1, False).reformat(1280, 320)
    shown.colorspace, shown.color_range = 2, 0
    own = PeerPictures().own(shown, 0)
    own.colorspace, own.color_range = 6, 1
    back = np.asarray(Image.open(io.BytesIO(png(own))).convert("RGB"))
    assert np.abs(back[160, 80::160].astype(int) - COLOURS).max() <= 5


def test_it_is_the_peers_own() -> None:
    shown = picture(160, 96, 3)
    before = [plane.copy() for plane in planes_of(shown)]
    own = PeerPictures().own(shown, 1)
    for mine, theirs in zip(planes_of(own), before, strict=True):
        assert np.array_equal(mine, theirs)
        mine[...] = 0
    for plane, theirs in zip(planes_of(shown), before, strict=True):
        assert np.array_equal(plane, theirs)
    assert shown.pts != 1
