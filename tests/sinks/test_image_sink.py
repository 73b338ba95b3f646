"""Single images, reopened."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamcam.errors import OptionError, SinkError
from streamcam.frames import ColorSpec, SourceInfo
from streamcam.options import SinkOptions
from streamcam.sinks import open_sink
from tests.media_helpers import COLORS, color_patches, gradient_frame, transcode, write_image

IMAGE_INFO = SourceInfo(
    "made", 256, 64, "yuv420p", Fraction(1, 25), color=ColorSpec(1, 1, 13, 1), num_frames=1, is_image=True
)


@pytest.mark.parametrize(("name", "tolerance"), [("o.png", 3), ("o.jpg", 5), ("o.JPEG", 5)])
@pytest.mark.parametrize("matrix", [1, 6])
def test_colours(tmp_path: Path, name: str, tolerance: int, matrix: int) -> None:
    info = SourceInfo(
        "made", 256, 64, "yuv420p", Fraction(1, 25), color=ColorSpec(1, matrix, 13, matrix), is_image=True
    )
    with open_sink(SinkOptions(path=tmp_path / name), info) as sink:
        sink.write(color_patches(matrix, False), 0)
    with av.open(str(tmp_path / name)) as container:
        back = next(container.decode(video=0)).to_ndarray(format="rgb24", src_colorspace=5, src_color_range=2)
    assert back.shape == (64, 256, 3)
    assert np.abs(back[32, 16::32].astype(int) - COLORS).max() <= tolerance


def test_odd_still_through_source_and_sink(tmp_path: Path) -> None:
    rgb = np.full((31, 45, 3), (200, 100, 50), np.uint8)
    transcode(write_image(tmp_path / "i.png", rgb, "png", "rgb24"), tmp_path / "o.png")
    with av.open(str(tmp_path / "o.png")) as container:
        back = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(back.astype(int) - rgb).max() <= 3


def test_video_is_refused_before_anything_is_written(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"video of about 50 frames, but \.png holds a single image; use \.mp4"):
        transcode(clip, tmp_path / "o.png")
    assert list(tmp_path.iterdir()) == []


def test_second_frame_is_refused(tmp_path: Path) -> None:
    with open_sink(SinkOptions(path=tmp_path / "o.png"), IMAGE_INFO) as sink:
        sink.write(gradient_frame(96, 64), 0)
        with pytest.raises(SinkError, match="second frame"):
            sink.write(gradient_frame(96, 64), 1)


def test_options_of_a_video_codec_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--crf cannot be used with \.png"):
        open_sink(SinkOptions(path=tmp_path / "o.png", crf=20), IMAGE_INFO)
