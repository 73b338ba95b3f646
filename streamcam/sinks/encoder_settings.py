"""The settings of a video encoder: the same for the stream of the output and for each of its segments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..frames import SourceInfo
from ..geometry import Size
from .codecs import Encoder
from .muxing import configure_video, convert_frame

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame

SEGMENT_THREADS = 2
"""Threads of the encoder of a segment, on every machine: the number changes the encoded data."""

Converter: TypeAlias = "Callable[[VideoFrame], VideoFrame]"
"""Returns a frame in the encoder's size and pixel format; serves one thread."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How frames of a video are encoded.

    Attributes:
        encoder: the encoder.
        options: its options.
        info: the source, for time base, pixel aspect and color.
        size: width and height to encode.
        pixel_format: to encode.
        fps: frames per second.
        in_segments: each encoder takes a segment of the video; all have the same number of threads, so that the
            result does not depend on the machine.
    """

    encoder: Encoder
    options: dict[str, str]
    info: SourceInfo
    size: Size
    pixel_format: str
    fps: Fraction
    in_segments: bool = False

    def add_stream(self, output: OutputContainer, *, codec_tag: str | None = None) -> VideoStream:
        """Add a video stream with such an encoder, not open."""
        stream = output.add_stream(self.encoder.name, rate=self.fps, options=dict(self._all_options))
        assert isinstance(stream, VideoStream)
        self._configure(stream.codec_context)
        if codec_tag:
            stream.codec_context.codec_tag = codec_tag
        return stream

    def make_encoder(self, flags: int) -> VideoCodecContext:
        """Return an encoder like that of the stream, not open.

        Args:
            flags: of the stream's encoder.
        """
        context = CodecContext.create(self.encoder.name, "w")
        assert isinstance(context, VideoCodecContext)
        # As in `add_stream` of the library.
        context.bit_rate, context.bit_rate_tolerance, context.framerate = 0, 128_000, self.fps
        context.options = dict(self._all_options)
        self._configure(context)
        context.flags = flags
        return context

    def make_converter(self) -> Converter:
        """Return a converter to the size and pixel format, for one thread."""
        return functools.partial(convert_frame, VideoReformatter(), size=self.size, pixel_format=self.pixel_format)

    def reorder_depth(self, context: VideoCodecContext) -> int:
        """Return by how many frames decoding times are earlier than presentation times.

        Args:
            context: the open encoder.
        """
        if self.encoder.name == "libx265":  # it does not tell FFmpeg
            return 0 if self.options.get("bf") == "0" else _X265_REORDER_DEPTH
        return context.reorder_depth

    @property
    def _all_options(self) -> dict[str, str]:
        if not self.in_segments or self.encoder.name != "libx265":
            return self.options
        # Its pool of threads has one for each core by default.
        params = self.options["x265-params"]
        return self.options | {"x265-params": f"{params}:pools={SEGMENT_THREADS}"}

    def _configure(self, context: VideoCodecContext) -> None:
        configure_video(context, self.info, self.size, self.pixel_format, self.fps)
        if self.in_segments:
            context.thread_count = SEGMENT_THREADS
            if self.encoder.name == "libx264":
                context.thread_type = "FRAME"  # by default it cuts each frame into slices, one a thread


_X265_REORDER_DEPTH = 2
"""With B-frames that others refer to, which all its presets have."""
