"""Configuration of a video file's encoder and muxer."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import lcm
from typing import Any

from av.codec import Codec as Library
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from ..errors import SinkError
from ..frames import Chapter, SourceInfo
from ..geometry import Size
from ..options import Codec
from .codecs import Encoder

FRAGMENT_SECONDS = 2
KEEP_DURATIONS = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION
_MAX_TIMESCALE = 2**31 - 1
_CHAPTER_TICKS_PER_SECOND = 1000
_HDR_NAMES = {16: "PQ", 18: "HLG"}


def choose_pixel_format(codec: Codec, encoder: Encoder, info: SourceInfo) -> tuple[str, str]:
    """Choose the pixel format to encode; add a note if bits are lost.

    Raises:
        SinkError: the source is HDR, and the encoder takes 8 bits only.
    """
    supported = {known.name for known in Library(encoder.name, "w").video_formats or ()}
    if info.pixel_format == "yuv420p":
        return "yuv420p", ""
    if encoder.keeps_10bit and encoder.pixel_format_10bit in supported:
        return encoder.pixel_format_10bit, ""
    if info.color.is_hdr:
        raise SinkError(
            f"{info.name} is HDR ({_HDR_NAMES[info.color.transfer]}), which {codec} cannot keep",
            hint="use --codec hevc or av1, with an output in .mp4 or .mkv",
        )
    return "yuv420p", f"{codec} holds 8 of the 10 bits of {info.name}; hevc and av1 hold them all"


def muxer_options(info: SourceInfo, *, fragmented: bool) -> dict[str, str]:
    """Return FFmpeg's options for the container.

    Args:
        info: the source, with the streams to copy.
        fragmented: MP4 or QuickTime, written in fragments; Matroska otherwise.
    """
    max_microseconds = str(FRAGMENT_SECONDS * 1_000_000)
    # Packets of other streams wait no longer than this for video that is still in the encoder; a closed
    # fragment goes to the disk whole, and no part stays in a buffer of this process.
    options = {"max_interleave_delta": max_microseconds, "flush_packets": "1"}
    if not fragmented:
        # Audio that begins before zero (the encoder's priming) would otherwise delay every stream.
        return options | {"cluster_time_limit": str(FRAGMENT_SECONDS * 1000), "avoid_negative_ts": "disabled"}
    # Offsets of streams against each other are rounded to the movie's time scale.
    scales = [s.time_base.denominator for s in info.passthrough_streams if s.time_base]
    scale = lcm(info.time_base.denominator, *scales)
    if scale > _MAX_TIMESCALE:
        scale = info.time_base.denominator
    return options | {
        "movflags": "hybrid_fragmented+frag_keyframe+delay_moov",
        "frag_duration": max_microseconds,
        "movie_timescale": str(scale),
    }


def configure_video(context: VideoCodecContext, info: SourceInfo, size: Size, pixel_format: str, fps: Fraction) -> None:
    """Set an encoder's size, pixel format, time base, color and keyframe interval.

    Args:
        context: of the encoder, not open yet.
        info: the source, for time base, pixel aspect and color.
        size: width and height of the frames.
        pixel_format: as from `choose_pixel_format`.
        fps: frames per second.
    """
    context.width, context.height = size
    context.pix_fmt = pixel_format
    context.time_base = info.time_base
    context.sample_aspect_ratio = info.pixel_aspect
    color = info.color
    context.color_range, context.color_primaries = color.range, color.primaries
    context.color_trc, context.colorspace = color.transfer, color.matrix
    context.flags |= KEEP_DURATIONS
    context.gop_size = gop_size(fps)


def gop_size(fps: Fraction) -> int:
    """Return the most frames from one keyframe to the next."""
    return min(max(round(FRAGMENT_SECONDS * fps), 10), 250)


def convert_frame(reformatter: VideoReformatter, frame: VideoFrame, size: Size, pixel_format: str) -> VideoFrame:
    """Return the frame in the encoder's size and pixel format; itself if it has them."""
    if (frame.width, frame.height) != size:
        return reformatter.reformat(frame, *size, pixel_format, interpolation=Interpolation.AREA, threads=1)
    return frame if frame.format.name == pixel_format else reformatter.reformat(frame, format=pixel_format, threads=1)


def chapter_entries(chapters: Iterable[Chapter], shift_seconds: Fraction = Fraction(0)) -> list[Any]:
    """Return chapters, moved later by ``shift_seconds``, as PyAV takes them."""
    return [
        {
            "id": number,
            "start": round((chapter.start_seconds + shift_seconds) * _CHAPTER_TICKS_PER_SECOND),
            "end": round((chapter.end_seconds + shift_seconds) * _CHAPTER_TICKS_PER_SECOND),
            "time_base": Fraction(1, _CHAPTER_TICKS_PER_SECOND),
            "metadata": chapter.metadata,
        }
        for number, chapter in enumerate(chapters, 1)
    ]
