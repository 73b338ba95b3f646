"""Clips made on the spot: every property a real file may have, in a few small frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamcam.media.mp4_boxes import iter_boxes
from streamcam.options import SinkOptions, SourceOptions
from streamcam.sinks import open_sink
from streamcam.sinks.scheduling import keep_scheduling
from streamcam.sources import open_source

COLORS = np.array(
    [[235, 40, 40], [40, 200, 60], [50, 60, 220], [230, 220, 50], [200, 60, 210], [60, 210, 210], [128] * 3, [240] * 3],
    np.uint8,
)  # fmt: skip
KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def planes(frame: VideoFrame) -> list[NDArray[Any]]:
    """Writable views of the planes of a YUV image, without padding."""
    dtype = np.dtype("<u2") if frame.format.name.endswith("10le") else np.dtype(np.uint8)
    return [
        np.frombuffer(p, dtype).reshape(p.height, p.line_size // dtype.itemsize)[:, : p.width] for p in frame.planes
    ]


def gradient_frame(width: int, height: int, index: int = 0, pixel_format: str = "yuv420p") -> VideoFrame:
    """A gradient with a bright block that moves right; top left corner dark, so that up differs from down."""
    frame = VideoFrame(width, height, pixel_format)
    deep = 4 if pixel_format.endswith("10le") else 1
    for number, plane in enumerate(planes(frame)):
        rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
        if number == 0:
            plane[:] = (40 + 120 * rows / plane.shape[0] + 40 * columns / plane.shape[1]) * deep
            x = 8 + 4 * index % max(width - 24, 1)
            plane[height // 2 : height // 2 + 12, x : x + 12] = 230 * deep
            plane[:12, :12] = 20 * deep
        else:
            plane[:] = (118 if number == 1 else 140) * deep
    return frame


def to_yuv(rgb: NDArray[Any], matrix: int, full_range: bool, bits: int = 8) -> NDArray[np.float64]:
    """Y, Cb and Cr codes of RGB 0–255, from the definition (ITU-R BT.601/709/2020), not rounded."""
    kr, kb = KR_KB[matrix]
    r, g, b = np.moveaxis(np.asarray(rgb, np.float64) / 255, -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    if full_range:
        top = 2**bits - 1
        return np.stack([y * top, cb * top + 2 ** (bits - 1), cr * top + 2 ** (bits - 1)], -1)
    unit = 2 ** (bits - 8)
    return np.stack([(16 + 219 * y) * unit, (128 + 224 * cb) * unit, (128 + 224 * cr) * unit], -1)


def to_rgb(yuv: NDArray[Any], matrix: int, full_range: bool, bits: int = 8) -> NDArray[np.float64]:
    """RGB 0–255 of Y, Cb and Cr codes, from the definition, clipped."""
    kr, kb = KR_KB[matrix]
    unit, half, top = 2 ** (bits - 8), 2 ** (bits - 1), 2**bits - 1
    y, cb, cr = np.moveaxis(np.asarray(yuv, np.float64), -1, 0)
    y = y / top if full_range else (y - 16 * unit) / (219 * unit)
    cb, cr = ((c - half) / (top if full_range else 224 * unit) for c in (cb, cr))
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.stack([r, g, b], -1), 0, 1) * 255


def color_patches(matrix: int, full_range: bool, pixel_format: str = "yuv420p") -> VideoFrame:
    """256×64: the eight `COLORS` side by side, coded with a matrix and range."""
    bits = 10 if pixel_format.endswith("10le") else 8
    frame = VideoFrame(256, 64, pixel_format)
    codes = np.round(to_yuv(COLORS, matrix, full_range, bits))
    for plane, code in zip(planes(frame), codes.T, strict=True):
        plane[:] = np.repeat(code, plane.shape[1] // 8)
    return frame


def patch_codes(frame: VideoFrame) -> NDArray[np.float64]:
    """``(8, 3)``: Y, Cb, Cr in the middle of each patch."""
    return np.stack(
        [
            [p[p.shape[0] // 2, int((i + 0.5) * p.shape[1] / 8)] for i in range(8)]
            for p in planes(frame)
        ],
        -1,
    ).astype(np.float64)  # fmt: skip


def write_clip(
    path: Path,
    frames: Sequence[VideoFrame],
    pts: Sequence[int] | None = None,
    *,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pixel_format: str | None = None,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    color: tuple[int, int, int, int] | None = None,
    audio: bool = False,
    audio_offset: int = 0,
    audio_samples: int | None = None,
    subtitles: bool = False,
    muxer: dict[str, str] | None = None,
    gop: int = 10,
    aspect: Fraction | None = None,
    second_video: bool = False,
) -> Path:
    """Writes a file with exactly the given time stamps; audio is 44.1 kHz AAC, language 'deu'."""
    stamps = list(range(len(frames))) if pts is None else list(pts)
    output = av.open(str(path), "w", container_options=muxer or {})
    output.metadata["title"] = "made for a test"
    streams = []
    for _ in range(2 if second_video else 1):
        stream = output.add_stream(codec, rate=Fraction(25), options=options or {})
        context = stream.codec_context
        context.width, context.height = frames[0].width, frames[0].height
        context.pix_fmt = pixel_format or frames[0].format.name
        context.time_base = time_base
        context.gop_size = gop
        if aspect:
            context.sample_aspect_ratio = aspect
        if color:
            context.color_range, context.color_primaries, context.color_trc, context.colorspace = color
        if rotation:
            stream.set_display_rotation(rotation)
        streams.append(stream)
    sound = output.add_stream("aac", rate=44100) if audio else None
    if sound:
        sound.metadata["language"] = "deu"
    text = _add_subtitles(output) if subtitles else None
    for stream in streams:
        if not stream.codec_context.is_open:
            with keep_scheduling():
                stream.codec_context.open()
        for frame, stamp in zip(frames, stamps, strict=True):
            copy = frame if len(streams) == 1 else frame.reformat(format=frame.format.name)
            copy.pts, copy.time_base = stamp, time_base
            output.mux(stream.encode(copy))
        output.mux(stream.encode())
    if sound:
        seconds = float((stamps[-1] + 1) * time_base)
        for packet in encode_tone(sound, audio_samples or int(seconds * 44100), audio_offset):
            output.mux(packet)
    if text:
        for number in range(2):
            packet = av.Packet(f"line {number}".encode())
            packet.pts = packet.dts = 200 + 400 * number
            packet.duration, packet.time_base, packet.stream = 300, Fraction(1, 1000), text
            output.mux_one(packet)
    output.close()
    return path


def encode_tone(stream: Any, samples: int, offset: int) -> Iterator[Any]:
    """Packets of a 440 Hz tone that begins ``offset`` samples late."""
    for start in range(0, samples, 1024):
        wave = np.sin((start + np.arange(1024)) * (2 * np.pi * 440 / 44100)) * 8000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16).repeat(2).reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start + offset, Fraction(1, 44100)
        yield from stream.encode(frame)
    yield from stream.encode()


def _add_subtitles(output: Any) -> Any:
    stream = output.add_mux_stream("subrip")
    stream.time_base = Fraction(1, 1000)
    return stream


def write_audio(path: Path) -> Path:
    """A file with a second of AAC and nothing else."""
    output = av.open(str(path), "w")
    stream = output.add_stream("aac", rate=44100)
    for packet in encode_tone(stream, 44100, 0):
        output.mux(packet)
    output.close()
    return path


def write_image(path: Path, rgb: NDArray[np.uint8], codec: str, pixel_format: str) -> Path:
    """One image, ``rgb`` uint8 ``(h, w, 3 or 4)``, as PNG or JPEG."""
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = rgb.shape[:2]
    context.pix_fmt, context.time_base = pixel_format, Fraction(1, 25)
    context.color_range = 2
    context.options = {"qmin": "1", "qmax": "1"} if codec == "mjpeg" else {}
    frame = VideoFrame.from_ndarray(rgb, "rgba" if rgb.shape[2] == 4 else "rgb24")
    frame = frame.reformat(format=pixel_format, dst_colorspace=5, dst_color_range=2)
    path.write_bytes(b"".join(bytes(packet) for packet in context.encode(frame)))
    return path


def write_gif(path: Path, count: int = 5) -> Path:
    """An animated GIF, a frame each tenth of a second: a red block moving over grey."""
    output = av.open(str(path), "w")
    stream = output.add_stream("gif", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
    for index in range(count):
        rgb = np.full((48, 64, 3), 109, np.uint8)
        rgb[10:20, 8 * index : 8 * index + 10] = (255, 0, 0)
        frame = VideoFrame.from_ndarray(rgb, "rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 10)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
    output.close()
    return path


def frame_times(path: Path) -> list[Fraction]:
    """Presentation times of the video, as a player would see them."""
    with av.open(str(path)) as container:
        return [frame.pts * Fraction(frame.time_base) for frame in container.decode(video=0)]


def packets_of(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Time and payload of each packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pts * Fraction(p.time_base), bytes(p)) for p in container.demux(stream) if p.size]


def box_types(path: Path) -> list[str]:
    """Types of the top-level boxes of an MP4 file, in order."""
    with path.open("rb") as file:
        return [box.type.decode("latin-1") for box in iter_boxes(file)]


def transcode(
    source: Path | str, target: Path, *, start: Any = None, end: Any = None, **options: Any
) -> tuple[Any, Any]:
    """Pipes a source into a sink, nothing drawn; returns both, closed."""
    with (
        open_source(SourceOptions(url=str(source), start=start, end=end)) as reader,
        open_sink(SinkOptions(path=target, **options), reader.info) as writer,
    ):
        for frame in reader:
            writer.write(frame.video_frame, frame.pts, frame.passthrough_packets)
        writer.write_packets(reader.trailing_packets)
    return reader, writer
