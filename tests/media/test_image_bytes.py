"""JPEG and PNG bytes, decoded again."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from streamcam.media.image_bytes import ImageEncoder, encode_jpeg, encode_png
from tests.media_helpers import COLORS, color_patches, gradient_frame


def decode(data: bytes, kind: str) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == kind
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colours(matrix: int, full: bool, pixel_format: str) -> None:
    shown = color_patches(matrix, full, pixel_format)
    shown.colorspace, shown.color_range = matrix, 2 if full else 1
    for data, kind, tolerance in (
        (encode_png(shown), "PNG", 3),
        (encode_jpeg(shown, 95), "JPEG", 5),
        (encode_jpeg(shown), "JPEG", 7),
    ):
        back = decode(data, kind)
        assert back.shape == (64, 256, 3)
        assert np.abs(back[32, 16::32].astype(int) - COLORS).max() <= tolerance


@pytest.mark.parametrize(("width", "matrix"), [(256, 6), (1280, 1)])
def test_untagged_images_have_the_matrix_that_players_assume(width: int, matrix: int) -> None:
    shown = color_patches(matrix, False).reformat(width, width // 4)
    shown.colorspace, shown.color_range = 2, 0
    back = decode(encode_png(shown), "PNG")
    assert np.abs(back[width // 8, width // 16 :: width // 8].astype(int) - COLORS).max() <= 3


def test_jpeg_is_plain_jfif_with_half_the_chroma() -> None:
    with Image.open(io.BytesIO(encode_jpeg(gradient_frame(162, 98)))) as image:
        assert image.size == (162, 98)
        assert image.info["jfif"] == 257
        assert [part[1:3] for part in image.layer] == [(2, 2), (1, 1), (1, 1)]


def test_one_encoder_for_images_of_every_kind() -> None:
    encoder = ImageEncoder()
    for pixel_format in ("yuv420p", "yuv420p10le"):
        for width, height in ((96, 64), (162, 98), (96, 64)):
            shown = gradient_frame(width, height, 3, pixel_format)
            assert encoder.encode_jpeg(shown) == encode_jpeg(shown)
            assert encoder.encode_png(shown) == encode_png(shown)
            assert decode(encoder.encode_png(shown), "PNG").shape == (height, width, 3)


def test_quality_costs_bytes() -> None:
    shown = gradient_frame(320, 192)
    assert len(encode_jpeg(shown, 40)) < len(encode_jpeg(shown)) < len(encode_jpeg(shown, 95))
