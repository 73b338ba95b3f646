"""Size, rotation, colour and kind of the frames that a file source delivers."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from streamcam import process
from streamcam.frames import WORKING_FORMATS
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    COLORS,
    color_patches,
    gradient_frame,
    patch_codes,
    planes,
    to_yuv,
    write_clip,
    write_gif,
    write_image,
)

from .reading import luma, read


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied_to_the_pixels(tmp_path: Path, rotation: int) -> None:
    path = write_clip(tmp_path / "r.mp4", [gradient_frame(160, 96, i) for i in range(3)], rotation=rotation)
    source, frames = read(path)
    stored = next(iter(av.open(str(path)).decode(video=0)))
    assert (source.info.width, source.info.height) == ((160, 96) if rotation % 180 == 0 else (96, 160))
    for shown, held in zip(planes(frames[0].video_frame), planes(stored), strict=True):
        np.testing.assert_array_equal(shown, np.rot90(held, rotation // 90))


def test_rotation_of_odd_sizes_keeps_the_chroma(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "r.mkv", [gradient_frame(85, 49)], codec="ffv1", options={"level": "3"}, rotation=90)
    source, frames = read(path)
    assert (source.info.width, source.info.height) == (49, 85)
    assert [plane.shape for plane in planes(frames[0].video_frame)] == [(85, 49), (43, 25), (43, 25)]


def test_aspect_of_pixels_turns_with_the_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [gradient_frame(96, 64)], aspect=Fraction(4, 3), rotation=90)
    assert read(path)[0].info.pixel_aspect == Fraction(3, 4)


def test_odd_size_is_kept(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.mkv", [gradient_frame(853, 481)], codec="ffv1")
    source, frames = read(path)
    assert (source.info.width, source.info.height) == (853, 481)
    assert (frames[0].video_frame.width, frames[0].video_frame.height) == (853, 481)


@pytest.mark.parametrize("transfer", [1, 16, 18])
def test_ten_bit_and_hdr_stay_ten_bit_with_tags(tmp_path: Path, transfer: int) -> None:
    path = write_clip(
        tmp_path / "deep.mkv",
        [color_patches(9, False, "yuv420p10le")],
        codec="ffv1",
        color=(1, 9, transfer, 9),
    )
    source, frames = read(path)
    assert source.info.pixel_format == "yuv420p10le"
    color = source.info.color
    assert (color.range, color.primaries, color.transfer, color.matrix) == (1, 9, transfer, 9)
    assert color.is_hdr == (transfer != 1)
    expected = np.round(to_yuv(COLORS, 9, False, 10))
    np.testing.assert_array_equal(patch_codes(frames[0].video_frame), expected)


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full", [False, True])
def test_ordinary_frames_reach_the_pipeline_unchanged(tmp_path: Path, matrix: int, full: bool) -> None:
    path = write_clip(
        tmp_path / "c.mp4", [color_patches(matrix, full)], options={"qp": "0"}, color=(1 + full, matrix, matrix, matrix)
    )
    source, frames = read(path)
    assert frames[0].video_frame.format.name == "yuv420p"
    assert (source.info.color.range, source.info.color.matrix) == (1 + full, matrix)
    assert (frames[0].video_frame.color_range, frames[0].video_frame.colorspace) == (1 + full, matrix)
    np.testing.assert_array_equal(patch_codes(frames[0].video_frame), np.round(to_yuv(COLORS, matrix, full)))


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv422p"])
def test_other_chroma_layouts_keep_their_colours(tmp_path: Path, pixel_format: str) -> None:
    wide = color_patches(1, False).reformat(format=pixel_format)
    path = write_clip(tmp_path / "c.mkv", [wide], codec="ffv1", pixel_format=pixel_format, color=(1, 1, 1, 1))
    source, frames = read(path)
    assert (source.info.pixel_format, source.info.color.matrix, source.info.color.range) == ("yuv420p", 1, 1)
    assert np.abs(patch_codes(frames[0].video_frame) - to_yuv(COLORS, 1, False)).max() <= 1


def test_png_becomes_what_its_tags_say(tmp_path: Path) -> None:
    rgb = np.repeat(COLORS[None].repeat(64, 0), 32, axis=1)
    source, frames = read(write_image(tmp_path / "p.png", rgb, "png", "rgb24"))
    color = source.info.color
    assert source.info.is_image
    assert (color.range, color.primaries, color.matrix) == (1, 1, 1)
    assert len(frames) == 1
    assert np.abs(patch_codes(frames[0].video_frame) - to_yuv(COLORS, 1, False)).max() <= 1


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[:, 16:] = (255, 0, 0, 128)
    _, frames = read(write_image(tmp_path / "p.png", rgba, "png", "rgba"))
    y = luma(frames[0])
    assert y[16, 4] == 235
    expected = to_yuv(np.array([255.0, 127, 127]), 1, False)[0]
    assert abs(float(y[16, 28]) - expected) <= 1


def test_jpeg_stays_full_range_with_the_matrix_of_jfif(tmp_path: Path) -> None:
    rgb = np.repeat(COLORS[None].repeat(64, 0), 32, axis=1)
    source, frames = read(write_image(tmp_path / "100%d.jpg", rgb, "mjpeg", "yuvj444p"))
    assert (source.info.color.range, source.info.color.matrix) == (2, 5)
    assert np.abs(patch_codes(frames[0].video_frame) - to_yuv(COLORS, 6, True)).max() <= 4


def test_gif_plays_with_its_times(tmp_path: Path) -> None:
    source, frames = read(write_gif(tmp_path / "g.gif"))
    assert [frame.pts * source.info.time_base for frame in frames] == [Fraction(i, 10) for i in range(5)]
    assert source.info.pixel_format in WORKING_FORMATS
    red = to_yuv(np.array([255.0, 0, 0]), 1, False)
    for index, frame in enumerate(frames):
        assert abs(float(luma(frame)[15, 8 * index + 5]) - red[0]) <= 2


def test_animated_webp_plays_with_its_times(tmp_path: Path) -> None:

    made = [Image.new("RGBA", (40, 30), (40 * i, 0, 0, 255)) for i in range(4)]
    path = tmp_path / "w.webp"
    made[0].save(path, save_all=True, append_images=made[1:], duration=[100, 50, 200, 70], lossless=True)
    source, frames = read(path)
    assert [frame.pts for frame in frames] == [0, 100, 150, 350]
    assert source.info.time_base == Fraction(1, 1000)
    for index, frame in enumerate(frames):
        assert abs(float(luma(frame)[15, 20]) - to_yuv(np.array([40.0 * index, 0, 0]), 1, False)[0]) <= 1
    assert [frame.pts for frame in read(path, start=Fraction(1, 10), end=Fraction(3, 10))[1]] == [0, 50]


def test_the_last_frame_of_an_animation_keeps_its_length(tmp_path: Path) -> None:
    path, out = tmp_path / "anim.webp", tmp_path / "out.mp4"
    images = [Image.fromarray(np.full((32, 48, 3), 30 * n, np.uint8)) for n in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 200, 50, 300], lossless=True)
    process(path, out, model="tests.pipeline.models:brightness", preprocess="none")
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
        assert [float(frame.time) for frame in frames] == [0, 0.1, 0.3, 0.35]
        assert float(container.streams.video[0].duration * container.streams.video[0].time_base) == pytest.approx(0.65)


def test_a_decoded_frame_is_freed_before_the_next_is_decoded(tmp_path: Path) -> None:
    """The first one too: a GIF's decoder would copy each frame while one of them is in use."""
    earlier = video_frames_in_memory()  # of other tests; kept, so that no new one has the same address
    with open_source(SourceOptions(url=str(write_gif(tmp_path / "g.gif")))) as source:
        frames = iter(source)
        yuv = [next(frames) for _ in range(3)]
        new = {id(one): one for one in video_frames_in_memory()}
        for one in earlier:
            new.pop(id(one), None)
        width = yuv[0].video_frame.width
        alive = [one.format.name for one in new.values() if one.width == width]
    assert sorted(alive) == ["bgra", "yuv420p", "yuv420p", "yuv420p"]


def video_frames_in_memory() -> list[VideoFrame]:
    return [one for one in gc.get_objects() if isinstance(one, VideoFrame)]
