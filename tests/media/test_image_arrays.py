"""Images from Python: what is refused before it is decoded, and what blending costs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamcam.errors import SourceError
from streamcam.media.image_arrays import as_images


@pytest.mark.parametrize(("side", "pixels"), [(8200, "8200x8200"), (16_000, "too many")])
def test_a_small_file_of_a_huge_image_is_refused_before_it_is_decoded(tmp_path: Path, side: int, pixels: str) -> None:
    path = tmp_path / "bomb.gif"
    Image.new("P", (16, 16)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:6] + side.to_bytes(2, "little") * 2 + data[10:])
    with warnings.catch_warnings(), pytest.raises(SourceError) as caught:
        warnings.simplefilter("error")
        as_images(path)
    assert f"has {pixels} pixels; expected at most 66355200; scale it down" in str(caught.value)


def test_alpha_is_blended_over_white_in_every_stripe() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (150, 8, 4), np.uint8)
    ((blended,), _) = as_images([image])
    alpha = image[..., 3:] / 255
    np.testing.assert_allclose(blended, image[..., :3] * alpha + 255 * (1 - alpha), atol=0.51)
