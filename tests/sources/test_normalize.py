"""Other layouts and sizes of images in color spaces that the scaler does not know."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamcam.options import SourceOptions
from streamcam.sources import open_source
from streamcam.sources.normalize import FrameNormalizer
from tests.media_helpers import COLORS, color_patches, patch_codes, to_yuv, write_clip


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 8, 11, 12, 13, 14])
def test_numbers_keep_their_meaning_also_where_the_scaler_does_not_know_it(
    tmp_path: Path, matrix: int, full: bool
) -> None:
    """YCgCo, ICtCp and the like: another layout and another size of the same numbers."""
    tags = 1 + full, 1, 1, matrix
    wide = color_patches(1, full).reformat(format="yuv444p")
    path = write_clip(tmp_path / "c.mkv", [wide], codec="ffv1", pixel_format="yuv444p", color=tags)
    with open_source(SourceOptions(url=str(path))) as source:
        frames = list(source)
    assert (source.info.color.matrix, source.info.color.range) == (matrix, 1 + full)
    for frame in frames:
        assert (frame.video_frame.colorspace, frame.video_frame.color_range) == (matrix, 1 + full)
        assert np.abs(patch_codes(frame.video_frame) - to_yuv(COLORS, 1, full)).max() <= 1
    larger = FrameNormalizer(frames[0].video_frame, Fraction(1, 25))
    smaller = color_patches(1, full).reformat(width=128, height=32)
    smaller.colorspace, smaller.color_range = matrix, 1 + full
    scaled = larger(smaller)
    assert (scaled.width, scaled.colorspace, scaled.color_range, larger.num_resized) == (256, matrix, 1 + full, 1)
    assert np.abs(patch_codes(scaled) - to_yuv(COLORS, 1, full)).max() <= 2
