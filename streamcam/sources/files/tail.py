"""The last frames of a damaged file, which threads withhold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import av.error
from av.codec.codec import Capabilities
from av.codec.context import CodecContext, ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ..frame_limits import limit_options

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_MAX_BYTES = 64 << 20
"""Bytes of packets to keep; the tail of a file with more between keyframes is not decoded again."""

_REORDERED_FRAMES = 16
"""Frames that a decoder holds back for their order."""


class TailDecoder:
    """Keep the last packets, to decode them again at the end.

    A decoder with threads reports the damage of a packet several packets later. At the end of the file PyAV stops at
    the first error, and the frames after it are lost. A decoder with one thread reports each error with its packet.

    Args:
        video: the stream that is decoded.
        max_pixels: most pixels of a frame.
    """

    def __init__(self, video: VideoStream, max_pixels: int) -> None:
        self._video, self._max_pixels = video, max_pixels
        self._min_packets = (os.cpu_count() or 1) + _REORDERED_FRAMES
        self.reset()

    def reset(self) -> None:
        """Forget all packets, after a seek."""
        context = self._video.codec_context
        has_threads = bool(context.codec.capabilities & Capabilities.frame_threads)
        self._enabled = has_threads and not context.is_hwaccel
        self._old: list[Packet[Any]] = []
        self._new: list[Packet[Any]] = []
        self._num_bytes = 0
        self._last_pts: int | None = None

    def add(self, packet: Packet[Any]) -> None:
        """Keep a packet that goes to the decoder."""
        if not self._enabled or not packet.size:
            return
        if packet.is_keyframe and len(self._new) >= self._min_packets:
            self._old, self._new = self._new, []
            self._num_bytes = sum(one.size for one in self._old)
        self._new.append(packet)
        self._num_bytes += packet.size
        if self._num_bytes > _MAX_BYTES or packet.pts is None:
            self.reset()
            self._enabled = False

    def record(self, frames: Iterable[VideoFrame]) -> None:
        """Remember the last frame that was decoded."""
        for frame in frames:
            self._last_pts = frame.pts

    def missing_frames(self) -> Iterator[VideoFrame]:
        """Yield the frames after the last one, decoded again."""
        packets = [*self._old, *self._new]
        last_pts = self._last_pts
        if not any(_is_after(packet, last_pts) for packet in packets):
            return
        context = self._video.codec_context
        decoder = CodecContext.create(context.codec, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.width, decoder.height = context.width, context.height
        decoder.extradata, decoder.codec_tag = context.extradata, context.codec_tag
        decoder.options = limit_options(self._max_pixels)
        decoder.thread_type, decoder.thread_count = ThreadType.SLICE, 1
        for packet in [*packets, None]:
            try:
                frames = decoder.decode(packet)
            except av.error.FFmpegError:
                continue
            for frame in frames:
                if _is_after(frame, last_pts):
                    yield frame


def _is_after(timed: Packet[Any] | VideoFrame, pts: int | None) -> bool:
    return timed.pts is not None and (pts is None or timed.pts > pts)
