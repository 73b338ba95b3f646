"""Colours, depth and size of the frames of a video that was written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamcam.errors import SinkError
from streamcam.frames import ColorSpec
from tests.media_helpers import (
    COLORS,
    color_patches,
    gradient_frame,
    patch_codes,
    to_rgb,
    transcode,
    write_clip,
)

from .sink_helpers import open_test_sink, source_info


def mean_rgb_error(source: Path, target: Path, matrix: int, full_range: bool) -> float:
    with av.open(str(source)) as a, av.open(str(target)) as b:
        before, after = next(a.decode(video=0)), next(b.decode(video=0))
    return float(
        np.abs(to_rgb(patch_codes(before), matrix, full_range) - to_rgb(patch_codes(after), matrix, full_range)).max()
    )


def test_rotation_is_shown_once(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [gradient_frame(160, 96, i) for i in range(3)], rotation=90)
    transcode(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height, frame.rotation) == (96, 160, 0)


@pytest.mark.parametrize("codec", ["ffv1", "vp9"])
def test_odd_sizes_where_the_codec_has_them(tmp_path: Path, codec: str) -> None:
    source = write_clip(tmp_path / "in.mkv", [gradient_frame(853, 481, i) for i in range(3)], codec="ffv1")
    transcode(source, tmp_path / "out.mkv", codec=codec)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(853, 481)] * 3


def test_odd_sizes_where_it_has_not_are_refused_without_a_file(tmp_path: Path) -> None:
    with (
        pytest.raises(SinkError, match="h264 cannot hold frames of 853x481; expected even sides"),
        open_test_sink(tmp_path / "o.mp4") as writer,
    ):
        writer.write(gradient_frame(853, 481), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("suffix", "codec", "crf"), [(".mp4", "h264", 4), (".mkv", "ffv1", None)])
def test_colours_and_tags_survive(
    tmp_path: Path, matrix: int, full: bool, suffix: str, codec: str, crf: int | None
) -> None:
    tags = (1 + full, matrix, matrix, matrix)
    source = write_clip(tmp_path / "in.mkv", [color_patches(matrix, full)] * 1, codec="ffv1", color=tags)
    target = tmp_path / f"out{suffix}"
    transcode(source, target, codec=codec, crf=crf)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == tags
    assert mean_rgb_error(source, target, matrix, full) <= 2


@pytest.mark.parametrize("codec", ["hevc", "av1", "ffv1"])
@pytest.mark.parametrize("transfer", [1, 16, 18])
def test_ten_bit_and_hdr_are_kept(tmp_path: Path, codec: str, transfer: int) -> None:
    tags = (1, 9, transfer, 9)
    source = write_clip(tmp_path / "in.mkv", [color_patches(9, False, "yuv420p10le")] * 1, codec="ffv1", color=tags)
    target = tmp_path / "out.mkv"
    transcode(source, target, codec=codec, crf=None if codec == "ffv1" else 5)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p10le"
        assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == tags
    with av.open(str(source)) as container:
        before = next(container.decode(video=0))
    assert np.abs(patch_codes(frame) - patch_codes(before)).max() <= 12


def test_ten_bit_becomes_eight_where_the_codec_has_no_more(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", [color_patches(1, False, "yuv420p10le")], codec="ffv1", color=(1, 1, 1, 1))
    transcode(source, tmp_path / "out.mp4", crf=4)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "yuv420p"
    assert np.abs(to_rgb(patch_codes(frame), 1, False) - COLORS).max() <= 3


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_hdr_is_refused_by_eight_bit_codecs(tmp_path: Path, transfer: int, name: str, codec: str) -> None:
    about = source_info(pixel_format="yuv420p10le", color=ColorSpec(1, 9, transfer, 9))
    with pytest.raises(SinkError, match=rf"is HDR \({name}\), which {codec} cannot keep; use --codec hevc or av1"):
        open_test_sink(tmp_path / "o.mp4", about, codec=codec)


def test_aspect_of_pixels_is_kept(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [gradient_frame(96, 64)], aspect=Fraction(4, 3))
    for suffix in (".mp4", ".mkv"):
        transcode(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
