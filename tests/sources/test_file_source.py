"""What a file source delivers, for files with every property real ones have."""

from __future__ import annotations

import gc
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from streamcam import process
from streamcam.errors import SourceError
from streamcam.frames import WORKING_FORMATS, Frame
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    COLORS,
    color_patches,
    frame_times,
    gradient_frame,
    patch_codes,
    planes,
    to_yuv,
    write_audio,
    write_clip,
    write_gif,
    write_image,
)

from .reading import read


def luma(frame: Frame) -> np.ndarray[Any, Any]:
    return planes(frame.video_frame)[0]


def test_info_and_frames_of_an_ordinary_clip(clip: Path) -> None:
    source, frames = read(clip)
    info = source.info
    assert (info.width, info.height, info.pixel_format) == (160, 96, "yuv420p")
    assert (info.average_fps, info.num_frames, info.is_image, info.live) == (25, 50, False, False)
    assert info.duration_seconds == pytest.approx(2, abs=0.05)
    assert "passthrough_streams" not in repr(info)  # streams of a closed container must not be touched
    assert info.metadata["title"] == "made for a test"
    assert [frame.index for frame in frames] == list(range(50))
    assert all(frame.model_input is None for frame in frames)
    assert (source.skipped, source.notes) == (0, [])


def test_variable_rate_time_stamps_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stamps = np.cumsum(rng.integers(900, 9000, 40)).tolist()
    base = Fraction(1, 90_000)
    exact = {"movie_timescale": "90000"}
    path = write_clip(
        tmp_path / "vfr.mp4", [gradient_frame(96, 64, i) for i in range(40)], stamps, time_base=base, muxer=exact
    )
    source, frames = read(path)
    assert [frame.pts * source.info.time_base for frame in frames] == frame_times(path)
    assert [f.pts * source.info.time_base * 90_000 for f in frames] == stamps


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


def test_single_frame(tmp_path: Path) -> None:
    source, frames = read(write_clip(tmp_path / "one.mp4", [gradient_frame(96, 64)]))
    assert len(frames) == 1
    assert source.notes == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_start_and_end_cut_to_the_frame_and_shift_to_zero(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"c{suffix}", [gradient_frame(96, 64, i) for i in range(50)], audio=True)
    every = read(path)[1]
    with open_source(SourceOptions(url=str(path), start=Fraction(1, 2), end=Fraction(3, 2))) as source:
        frames = list(source)
        assert [stream.type for stream in source.info.passthrough_streams] == ["audio"]
    assert len(frames) == 25
    assert frames[0].pts * source.info.time_base < Fraction(1, 25)
    np.testing.assert_array_equal(luma(frames[0]), luma(every[13]))
    packets = [*(p for f in frames for p in f.passthrough_packets), *source.trailing_packets]
    times = [float(packet.pts * packet.time_base) for packet in packets]
    assert 0 <= min(times) < 0.03
    assert 0.95 < max(times) < 1
    assert source.info.duration_seconds == pytest.approx(1)


def test_start_in_a_broadcast_is_found_though_its_seeking_is_rough(tmp_path: Path) -> None:
    stamps = [3600 * index for index in range(100)]
    path = write_clip(
        tmp_path / "c.ts",
        [gradient_frame(96, 64, i) for i in range(100)],
        stamps,
        time_base=Fraction(1, 90_000),
        gop=25,
    )
    every = read(path)[1]
    _, frames = read(path, start=Fraction(2), end=Fraction(3))
    assert len(frames) == 25
    np.testing.assert_array_equal(luma(frames[0]), luma(every[50]))
    assert frames[0].pts == 0


def test_elementary_stream_gets_a_constant_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.h264", [gradient_frame(96, 64, i) for i in range(20)])
    source, frames = read(path)
    assert [frame.pts * source.info.time_base for frame in frames] == [Fraction(i, 25) for i in range(20)]
    assert source.notes == [f"{path}: 20 frames without a timestamp, 25 a second assumed"]
    assert len(read(path, start=Fraction(2, 5))[1]) == 10


def test_start_beyond_the_end_says_how_long_it_is(clip: Path) -> None:
    with pytest.raises(SourceError, match=r"no frame from --start 100 on; it is 2\.0 s long"):
        open_source(SourceOptions(url=str(clip), start=Fraction(100)))


def test_time_stamps_that_stand_still_or_run_back_are_moved_and_counted(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "back.mkv", [gradient_frame(96, 64, i) for i in range(6)], codec="ffv1", time_base=Fraction(1, 1000)
    )
    data = bytearray(path.read_bytes())
    at = [i for i in range(len(data) - 4) if data[i : i + 1] == b"\x81" and data[i + 3] in (0x80, 0x00)]
    blocks = [i for i in at if int.from_bytes(data[i + 1 : i + 3], "big") in (2, 3)]
    assert len(blocks) >= 2
    stamps = {2: 1, 3: 0}
    for i in blocks:
        data[i + 1 : i + 3] = stamps[int.from_bytes(data[i + 1 : i + 3], "big")].to_bytes(2, "big")
    path.write_bytes(data)
    source, frames = read(path)
    assert len(frames) == 6
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert any("2 timestamps did not increase" in note for note in source.notes)


def test_second_video_stream_is_announced(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "two.mkv", [gradient_frame(96, 64, i) for i in range(5)], second_video=True)
    source, frames = read(path)
    assert len(frames) == 5
    assert source.notes == [f"{path}: 1 further video stream ignored"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_truncated_file_gives_what_was_good_and_says_so(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0)
    video_frames = [gradient_frame(160, 96, i) for i in range(100)]
    for frame in video_frames:
        planes(frame)[0][:] = noise.integers(20, 220, (96, 160))
    path = write_clip(
        tmp_path / f"c{suffix}", video_frames, muxer={"movflags": "faststart"} if suffix == ".mp4" else {}
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source, frames = read(path)
    assert 30 < len(frames) < 60
    assert any("ends early" in note for note in source.notes)


def test_flipped_bits_do_not_stop_the_reading(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.mkv", [gradient_frame(160, 96, i) for i in range(60)], codec="ffv1", options={"slicecrc": "1"}
    )
    data = bytearray(path.read_bytes())
    for position in np.random.default_rng(1).integers(len(data) // 4, 3 * len(data) // 4, 12):
        data[position] ^= 0xFF
    path.write_bytes(data)
    source, frames = read(path)
    assert len(frames) + source.skipped > 30
    assert len(frames) > 20
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))


def test_broken_packets_are_counted(tmp_path: Path) -> None:
    video_frames = [gradient_frame(160, 96, i) for i in range(20)]
    path = write_clip(tmp_path / "c.mov", video_frames, codec="png", pixel_format="rgb24")
    data = path.read_bytes()
    starts = [i for i in range(len(data)) if data[i : i + 4] == b"\x89PNG"]
    assert len(starts) == 20
    broken = bytearray(data)
    for start in (starts[5], starts[11]):
        broken[start : start + 8] = bytes(8)
    path.write_bytes(broken)
    source, frames = read(path)
    assert (len(frames), source.skipped) == (18, 2)


@pytest.mark.slow
def test_frames_are_freed_as_soon_as_they_are_dropped(clip: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        with open_source(SourceOptions(url=str(clip))) as source:
            alive = [
                sum(isinstance(thing, VideoFrame) for thing in gc.get_objects())
                for number, _ in enumerate(source)
                if number % 12 == 0  # a look at every object of the process takes long
            ]
    finally:
        gc.enable()
    assert len(alive) == 5
    assert max(alive) <= alive[0] + 5


def test_closing_while_another_thread_reads_ends_the_iteration(clip: Path) -> None:
    source = open_source(SourceOptions(url=str(clip)))
    begun, closed = threading.Event(), threading.Event()
    got: list[Frame] = []

    def work() -> None:
        for frame in source:
            got.append(frame)
            begun.set()
            closed.wait(10)

    thread = threading.Thread(target=work)
    with source:
        thread.start()
        assert begun.wait(10)
    closed.set()
    thread.join(10)
    assert not thread.is_alive()
    assert 0 < len(got) < 50


class TestRefusals:
    """One line each, and a different one for each cause."""

    def refuse(self, path: Path | str) -> str:
        with pytest.raises(SourceError) as caught:
            open_source(SourceOptions(url=str(path), timeout_seconds=0.5))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_missing_file_suggests_a_neighbour(self, clip: Path) -> None:
        assert "does not exist; did you mean 'clip.mp4'?" in self.refuse(clip.with_name("clipp.mp4"))

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "e.mp4").touch()
        assert "is empty (0 bytes)" in self.refuse(tmp_path / "e.mp4")

    def test_folder(self, tmp_path: Path) -> None:
        assert "is a folder" in self.refuse(tmp_path)

    @pytest.mark.parametrize("name", ["t.mp4", "t.txt", "t.nfo"])
    def test_text(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("These are words, not images.\n" * 40)
        assert "is not a video" in (message := self.refuse(tmp_path / name)) or "is a text file" in message

    def test_audio_only(self, tmp_path: Path) -> None:
        assert "has no video stream, only audio" in self.refuse(write_audio(tmp_path / "a.m4a"))

    def test_index_lost(self, clip: Path, tmp_path: Path) -> None:
        data = clip.read_bytes()
        (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
        assert "was cut short: its index" in self.refuse(tmp_path / "cut.mp4")

    def test_nothing_decodable(self, clip: Path, tmp_path: Path) -> None:
        data = bytearray(clip.read_bytes())
        start = data.index(b"mdat") + 4
        end = data.index(b"moov") - 4
        data[start:end] = bytes(np.random.default_rng(0).integers(0, 256, end - start, dtype=np.uint8))
        (tmp_path / "n.mp4").write_bytes(data)
        assert "can be decoded" in self.refuse(tmp_path / "n.mp4")

    def test_unknown_scheme(self) -> None:
        assert "unknown source gopher://" in self.refuse("gopher://host/clip.mp4")

    def test_unreachable_host_hides_credentials(self) -> None:
        message = self.refuse("http://anna:secret@127.0.0.1:9/clip.mp4?token=hidden")
        assert "cannot be reached" in message
        assert "secret" not in message
        assert "hidden" not in message
        assert "127.0.0.1:9/clip.mp4" in message


def test_the_last_frame_of_an_animation_keeps_its_length(tmp_path: Path) -> None:
    path, out = tmp_path / "anim.webp", tmp_path / "out.mp4"
    images = [Image.fromarray(np.full((32, 48, 3), 30 * n, np.uint8)) for n in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 200, 50, 300], lossless=True)
    process(path, out, model="tests.pipeline.models:brightness", preprocess="none")
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
        assert [float(frame.time) for frame in frames] == [0, 0.1, 0.3, 0.35]
        assert float(container.streams.video[0].duration * container.streams.video[0].time_base) == pytest.approx(0.65)
