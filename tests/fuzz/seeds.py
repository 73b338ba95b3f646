"""Small valid files in many containers and codecs, made on the spot: what the fuzzer damages."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.video.format import names as pixel_format_names
from av.video.frame import VideoFrame

from streamcam.sinks.scheduling import keep_scheduling
from tests.media_helpers import encode_tone, gradient_frame

NUM_FRAMES = 12
SIZE = (96, 64)
_H263_SIZE = (128, 96)


@dataclass(frozen=True)
class Seed:
    """A valid file.

    Attributes:
        name: format, codec and pixel format.
        suffix: of the file's name.
        data: its bytes.
        is_streamable: frames before some damage can be decoded.
    """

    name: str
    suffix: str
    data: bytes
    is_streamable: bool = False


VIDEOS = [
    *("mp4/libx264+aac", "mp4/libx265", "mp4/mpeg4+aac", "mp4/libsvtav1", "mp4/mjpeg", "mp4/libvpx-vp9"),
    *("mov/prores_ks", "mov/qtrle", "mov/png", "mov/rawvideo", "mov/cfhd", "mov/libx264+aac"),
    *("3gp/h263", "ismv/libx264"),
    *("matroska/libx264+aac", "matroska/ffv1", "matroska/libx265", "matroska/jpeg2000", "matroska/mpeg2video"),
    *("matroska/mjpeg", "matroska/rawvideo"),
    *("webm/libvpx", "webm/libvpx-vp9", "webm/libsvtav1"),
    *(
        "avi/mpeg4+libmp3lame",
        "avi/mjpeg",
        "avi/huffyuv",
        "avi/ffvhuff",
        "avi/rawvideo",
        "avi/msmpeg4v2",
        "avi/utvideo",
    ),
    *(
        "avi/msmpeg4v2",
        "avi/cinepak",
        "avi/magicyuv",
        "avi/snow",
        "avi/asv1",
        "avi/wmv1",
        "avi/libx264",
        "avi/msvideo1",
    ),
    *("avi/libx264", "avi/msvideo1", "flv/flv+libmp3lame", "flv/libx264+aac", "flv/flashsv", "swf/flv"),
    *("mpegts/libx264+mp2", "mpegts/mpeg2video", "mpegts/libx265", "mpegts/mpeg4"),
    *("mpeg/mpeg1video+mp2", "mpeg/mpeg2video", "vob/mpeg2video+mp2", "dvd/mpeg2video"),
    *("ogg/libvpx", "asf/wmv2", "asf/msmpeg4", "nut/mpeg4", "nut/ffv1+flac", "nut/libx264"),
    *("mxf/mpeg2video", "rm/rv10", "rm/rv20", "ivf/libvpx", "ivf/libsvtav1", "ivf/libvpx-vp9", "obu/libsvtav1"),
    *("h264/libx264", "hevc/libx265", "m4v/mpeg4", "mjpeg/mjpeg", "mpjpeg/mjpeg", "smjpeg/mjpeg", "h263/h263"),
    *("mpeg1video/mpeg1video", "mpeg2video/mpeg2video", "yuv4mpegpipe/wrapped_avframe", "yuv4mpegpipe/rawvideo"),
    *("gif/gif", "apng/apng", "webp/libwebp_anim", "roq/roqvideo"),
    *("dv/dvvideo", "wtv/mpeg2video+mp2", "f4v/libx264+aac", "psp/mpeg4+aac"),
    *("avm2/flv"),
]
"""``format/video codec[+audio codec]``; those that this build of FFmpeg lacks are left away."""

IMAGES = [
    *(
        "png/rgb24",
        "png/rgba",
        "png/rgb48be",
        "png/gray",
        "png/monoblack",
        "mjpeg/yuvj420p",
        "mjpeg/yuvj444p",
        "bmp/bgr24",
    ),
    *("bmp/bgr24", "tiff/rgb24", "tiff/rgba", "tiff/rgb48le", "tiff/yuv420p", "libwebp/yuv420p"),
    *("libwebp/bgra", "ppm/rgb24", "pgm/gray", "pgmyuv/yuv420p", "pam/rgba", "targa/bgr24"),
    *("sgi/rgb24", "jpeg2000/rgb24", "jpeg2000/yuv420p", "dpx/rgb24", "exr/gbrpf32le", "qoi/rgba", "pcx/rgb24"),
    *("xwd/rgb24", "hdr/gbrpf32le", "pfm/gbrpf32le", "phm/gbrpf32le", "fits/gray"),
    *("jpegls/rgb24", "ljpeg/yuvj420p", "alias_pix/bgr24"),
]
"""``codec/pixel format`` of single images."""

_SUFFIXES = {
    "matroska": "mkv",
    "mpegts": "ts",
    "mpeg": "mpg",
    "asf": "wmv",
    "yuv4mpegpipe": "y4m",
    "mpeg1video": "m1v",
    "mpeg2video": "m2v",
    "ismv": "mp4",
    "rawvideo": "yuv",
    "libwebp": "webp",
    "targa": "tga",
    "jpeg2000": "jp2",
    "libjxl": "jxl",
    "jpegls": "jls",
    "sunrast": "ras",
    "ljpeg": "jpg",
    "alias_pix": "pix",
}
_STREAMABLE = frozenset(("matroska", "webm", "mpegts", "mpeg", "vob", "flv", "nut", "ivf", "h264", "hevc", "m4v"))
_FAST = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "12"},
    "libvpx": {"cpu-used": "8"},
    "libvpx-vp9": {"cpu-used": "8"},
}
_PREFERRED_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuv422p10le", "rgb24", "bgr24")


@functools.cache
def video_seed(name: str) -> Seed | None:
    """Make a video by its name in `VIDEOS`; None if this build cannot."""
    container, _, codecs = name.partition("/")
    codec, _, audio_codec = codecs.partition("+")
    file = io.BytesIO()
    try:
        pixel_format = _pixel_format(codec)
        with av.open(file, "w", format=container) as output, keep_scheduling():
            _encode(output, codec, pixel_format, audio_codec)
    except (av.error.FFmpegError, ValueError, OSError, TypeError):
        return None
    return Seed(
        f"{name}/{pixel_format}", _SUFFIXES.get(container, container), file.getvalue(), container in _STREAMABLE
    )


def _pixel_format(codec: str) -> str:
    if codec == "mjpeg":
        return "yuvj420p"
    supported = [one.name for one in av.Codec(codec, "w").video_formats or ()]
    return next(
        (name for name in _PREFERRED_FORMATS if name in supported or not supported), (supported or ["yuv420p"])[0]
    )


def _encode(output: Any, codec: str, pixel_format: str, audio_codec: str) -> None:
    stream = output.add_stream(codec, rate=25, options=_FAST.get(codec, {}))
    width, height = _H263_SIZE if codec in ("h263", "roqvideo") else (720, 576) if codec == "dvvideo" else SIZE
    stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
    stream.codec_context.gop_size = 4
    sound = output.add_stream(audio_codec, rate=44100) if audio_codec else None
    for index in range(NUM_FRAMES):
        frame = gradient_frame(width, height, index).reformat(format=pixel_format)
        frame.pts, frame.time_base = index, Fraction(1, 25)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
    if sound:
        for packet in encode_tone(sound, 44100 * NUM_FRAMES // 25, 0):
            output.mux(packet)


@functools.cache
def image_seed(name: str) -> Seed | None:
    """Make an image by its name in `IMAGES`; None if this build cannot."""
    codec, _, pixel_format = name.partition("/")
    try:
        data = encode_image(codec, gradient_frame(*SIZE).reformat(format=pixel_format))
    except (av.error.FFmpegError, ValueError, OSError):
        return None
    return Seed(name, _SUFFIXES.get(codec, "jpg" if codec == "mjpeg" else codec), data)


def encode_image(codec: str, frame: VideoFrame) -> bytes:
    """Encode a frame as the file of one image."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base, frame.pts = Fraction(1, 25), 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])


@functools.cache
def pixel_formats() -> tuple[str, ...]:
    """Names of all pixel formats that frames can have in memory."""
    found = []
    for name in sorted(pixel_format_names):
        try:
            VideoFrame(16, 16, name)
        except (ValueError, av.error.FFmpegError, OSError):
            continue
        found.append(name)
    return tuple(found)


@functools.cache
def pixel_format_seed(name: str) -> Seed | None:
    """Make uncompressed video of a pixel format, in NUT or Matroska."""
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="nut") as output:
            stream = output.add_stream("rawvideo", rate=25)
            stream.width, stream.height, stream.pix_fmt = *SIZE, name
            for index in range(3):
                frame = VideoFrame(*SIZE, name)
                for plane in frame.planes:
                    samples = np.frombuffer(plane, np.uint8)
                    samples[:] = np.arange(samples.size) * (index + 1) % 251
                frame.pts, frame.time_base = index, Fraction(1, 25)
                output.mux(stream.encode(frame))
    except (av.error.FFmpegError, ValueError, OSError, TypeError):
        return None
    return Seed(f"nut/rawvideo/{name}", "nut", file.getvalue())
