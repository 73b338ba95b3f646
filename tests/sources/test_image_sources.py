"""Images and animations: what their files say, and FFmpeg does not pass on."""

from __future__ import annotations

import io
import os
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from streamcam.sources.image_headers import is_animated_png, is_mirrored, is_truncated
from tests.media_helpers import gradient_frame, planes, write_clip

from .reading import read


def noise(width=96, height=64, seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a%d.png"])
def test_animated_png_plays_with_its_times(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    # So large that the second image lies beyond the data that FFmpeg probes.
    images = [noise(seed=n, width=300, height=200) for n in range(4)]
    images[0].save(path, format="PNG", save_all=True, append_images=images[1:], duration=[100, 50, 200, 70])
    source, frames = read(path)
    assert [frame.pts * source.info.time_base for frame in frames] == [
        0,
        Fraction(1, 10),
        Fraction(3, 20),
        Fraction(7, 20),
    ]
    assert not source.info.is_image
    for frame, image in zip(frames, images, strict=True):
        luma = planes(frame.video_frame)[0]
        expected = 16 + np.asarray(image) @ [0.2126, 0.7152, 0.0722] * 219 / 255
        assert np.abs(luma - expected).max() < 2


def test_plain_png_is_still(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    assert not is_animated_png(str(tmp_path / "a.png"))
    assert read(tmp_path / "a.png")[0].info.is_image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_images_are_upright_as_their_exif_says(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a{suffix}"
    made = Image.fromarray(planes(gradient_frame(96, 64))[0]).convert("RGB")
    made.getexif()[0x0112] = orientation
    made.save(path, exif=made.getexif(), **({"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}))
    source, frames = read(path)
    luma = planes(frames[0].video_frame)[0].astype(float)
    if source.info.color.range != 2:
        luma = (luma - 16) * 255 / 219
    expected = np.asarray(ImageOps.exif_transpose(made).convert("L"), float)
    assert luma.shape == expected.shape
    assert np.abs(luma - expected).mean() < 2
    assert is_mirrored(str(path)) == (orientation in (2, 4, 5, 7))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_an_rgb_still_keeps_its_pixels_for_the_model(tmp_path: Path, mode: str, orientation: int) -> None:
    path = tmp_path / "a.png"
    made = noise(97, 63).convert(mode)
    made.getexif()[0x0112] = orientation
    made.save(path, exif=made.getexif())
    ((frame,), expected) = read(path)[1], ImageOps.exif_transpose(made).convert("RGB")
    assert frame.rgb_frame.format.name == "rgb24"
    assert frame.model_source is frame.rgb_frame
    np.testing.assert_array_equal(frame.rgb_frame.to_ndarray(), np.asarray(expected))


def test_a_transparent_still_lies_on_white_for_the_model(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:8] = (200, 100, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    rgb = read(tmp_path / "a.png")[1][0].rgb_frame.to_ndarray()
    assert (rgb[:8] == (200, 100, 0)).all()
    assert (rgb[8:] == 255).all()


def test_yuv_stills_and_animations_have_no_rgb_frame(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.jpg")
    noise().save(tmp_path / "b.png", save_all=True, append_images=[noise(seed=2)], duration=100)
    frames = [frame for name in ("a.jpg", "b.png") for frame in read(tmp_path / name)[1]]
    assert [frame.rgb_frame for frame in frames] == [None] * 3
    assert all(frame.model_source is frame.video_frame for frame in frames)


def jpeg(**options):
    buffer = io.BytesIO()
    noise().save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.999])
def test_a_jpeg_that_was_cut_short_says_so(tmp_path: Path, progressive: bool, part: float) -> None:
    whole = jpeg(progressive=progressive)
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: int(part * len(whole))])
    source, frames = read(path)
    assert len(frames) == 1
    assert [note for note in source.notes if "cut short" in note]


@pytest.mark.parametrize("after", [b"", b"\0" * 5, jpeg(), b"\xff\xfe"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"comment": b"\xff\xd8\xff\xd9"}]
)
def test_a_whole_jpeg_says_nothing(tmp_path: Path, options: dict[str, object], after: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(**options) + after)
    assert not is_truncated(str(path))
    assert read(path)[0].notes == []


def test_a_thumbnail_is_not_the_end_of_an_image(tmp_path: Path) -> None:
    whole, small = jpeg(), jpeg(quality=5)
    path = tmp_path / "a.jpg"
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2) + small
    path.write_bytes((whole[:2] + segment + whole[2:])[: len(segment) + len(whole) // 2])
    assert is_truncated(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "c.ts", [gradient_frame(96, 64, n) for n in range(10)]).read_bytes()
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
    writer.start()
    assert len(read(pipe)[1]) == 10
    writer.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_of_something_else_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"no video at all" * 9,), daemon=True)
    writer.start()
    with pytest.raises(Exception, match="not a video"):
        read(pipe)
    writer.join()
