"""Opening the encoder of a video."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from ..geometry import Size
from .encoder_count import max_waiting_bytes, segment_frames
from .encoder_settings import EncoderSettings
from .encoders import SingleEncoder, VideoEncoder
from .scheduling import keep_scheduling
from .segment_encoder import SegmentEncoder
from .segments import Segment, SegmentSettings

if TYPE_CHECKING:
    from av.video.stream import VideoStream


def open_encoder(
    stream: VideoStream,
    settings: EncoderSettings,
    encoders: int,
    frame_size: Size,
    on_chunk: Callable[[Segment], None] | None,
) -> VideoEncoder:
    """Open the encoder of a stream; with several, of its segments.

    Args:
        stream: the video stream of the output.
        settings: of its encoder, which is not open.
        encoders: segments encoded at once.
        frame_size: ``(width, height)`` of the frames before encoding.
        on_chunk: as for `SegmentEncoder`.
    """
    context = stream.codec_context
    with keep_scheduling():
        context.open()
    if not settings.in_segments:
        return SingleEncoder(stream, settings.make_converter())
    return SegmentEncoder(
        stream,
        functools.partial(settings.make_encoder, context.flags),
        settings.make_converter,
        SegmentSettings(
            encoders=encoders,
            max_frames=segment_frames(context.gop_size),
            max_waiting_bytes=max_waiting_bytes(encoders, context.gop_size, settings.info.frame_bytes),
            frame_size=frame_size,
            reorder_depth=settings.reorder_depth(context),
        ),
        on_chunk,
    )


def describe_segment(settings: EncoderSettings, format_name: str, frame_size: Size) -> Segment:
    """Return a segment without packets, with the settings of an encoder.

    Args:
        settings: of the encoder.
        format_name: of the file, for FFmpeg.
        frame_size: ``(width, height)`` of the frames before encoding.
    """
    with av.open(io.BytesIO(), "w", format=format_name) as output:
        context = settings.add_stream(output).codec_context
        with keep_scheduling():
            context.open()
        return Segment(
            packets=(),
            time_base=Fraction(context.time_base),
            encoder=context.name,
            extradata=bytes(context.extradata or b""),
            frame_size=frame_size,
            reorder_depth=settings.reorder_depth(context),
        )
