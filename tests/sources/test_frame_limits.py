"""Frames that are too large are refused before they are decoded."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from streamcam import stages
from streamcam.errors import SourceError
from streamcam.frames import SourceInfo
from streamcam.options import DEFAULT_MAX_PIXELS, SourceOptions
from tests.media_helpers import gradient_frame, write_clip

from .camera_reader import error_of
from .reading import read

DATA = Path(__file__).parents[1] / "fuzz" / "data"
LIMIT = 100 * 64


def raw_h264(width: int, height: int, count: int) -> bytes:
    """An elementary stream that begins with its parameter sets."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = width, height, "yuv420p", Fraction(1, 25)
    context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    packets = [packet for i in range(count) for packet in context.encode(frame_at(gradient_frame(width, height, i), i))]
    return b"".join(bytes(packet) for packet in [*packets, *context.encode()])


def frame_at(frame: VideoFrame, pts: int) -> VideoFrame:
    frame.pts, frame.time_base = pts, Fraction(1, 25)
    return frame


def huge_png(width: int, height: int) -> bytes:
    """A valid PNG whose pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encode_image(width: int, height: int, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("name", ["anim_13000.webp", "anim_16384.webp"])
def test_an_animated_webp_is_refused_by_its_header(name: str) -> None:
    size = name[5:10]
    with pytest.raises(SourceError) as caught:
        read(DATA / name)
    assert f"has frames of {size}x{size}; expected at most {DEFAULT_MAX_PIXELS} pixels a frame" in str(caught.value)
    assert "raise --max-pixels" in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"])
def test_an_image_over_the_limit_is_refused_with_its_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(encode_image(112, 64, kind))
    with pytest.raises(SourceError, match=f"has frames of 112x64; expected at most {LIMIT} pixels a frame"):
        read(path, max_pixels=LIMIT)
    assert len(read(path, max_pixels=112 * 64)[1]) == 1


def test_the_default_refuses_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png(12_000, 12_000))
    with pytest.raises(SourceError, match="has frames of 12000x12000"):
        read(path)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "ffv1"), ("avi", "mjpeg"), ("ts", "libx264")]
)
def test_a_video_over_the_limit_is_refused(tmp_path: Path, suffix: str, codec: str) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    frames = [gradient_frame(112, 64, i, pixel_format) for i in range(12)]
    path = write_clip(tmp_path / f"a.{suffix}", frames, codec=codec)
    with pytest.raises(SourceError, match="has frames of 112x64"):
        read(path, max_pixels=LIMIT)
    assert len(read(path, max_pixels=112 * 64)[1]) == 12


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_frames_that_grow_over_the_limit_are_dropped_and_counted(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.ts"
    if codec == "h264":
        packets = raw_h264(96, 64, 4) + raw_h264(112, 96, 3) + raw_h264(96, 64, 4)
        path = write_ts(tmp_path, packets)
    else:
        path = tmp_path / "a.mjpeg"
        sizes = [(96, 64)] * 4 + [(112, 96)] * 3 + [(96, 64)] * 4
        path.write_bytes(b"".join(encode_image(*size, "JPEG") for size in sizes))
    source, frames = read(path, max_pixels=LIMIT)
    assert (len(frames), source.skipped) == (8, 3)
    assert any(f"3 frames are dropped, larger than --max-pixels {LIMIT}" in note for note in source.notes)


def write_ts(folder: Path, elementary: bytes) -> Path:
    """Mux an elementary stream into a transport stream, whose format has no size."""
    raw, path = folder / "a.h264", folder / "a.ts"
    raw.write_bytes(elementary)
    with av.open(str(raw)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            output.mux(packet)
    return path


def test_a_camera_over_the_limit_names_the_option(tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg"
    path.write_bytes(encode_image(112, 64, "JPEG") * 3)
    assert "has frames of 112x64; expected at most 6400 pixels a frame" in error_of(str(path), max_pixels=LIMIT)


def test_queues_are_bounded_in_bytes() -> None:
    def info(width: int, height: int, pixel_format: str = "yuv420p") -> SourceInfo:
        return SourceInfo(name="a", width=width, height=height, pixel_format=pixel_format, time_base=Fraction(1, 25))

    assert stages.queue_depth(16, info(1920, 1080)) == 16
    assert stages.queue_depth(16, info(7680, 4320)) == 5
    assert stages.queue_depth(16, info(7680, 4320, "yuv420p10le")) == 1
    assert stages.queue_depth(4, info(7680, 4320), frames_per_item=3) == 1
    assert stages.queue_depth(16, info(20_000, 20_000)) == 1
    assert stages.prefetch_depth(16, info(7680, 4320)) == 5
    assert stages.prefetch_depth(16, info(7680, 8640)) == 0


def test_the_limit_is_checked() -> None:
    with pytest.raises(Exception, match="invalid --max-pixels 0; expected 1 to"):
        SourceOptions(url="a", max_pixels=0)
