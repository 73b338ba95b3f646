"""Decode a camera's packets, with little delay."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import av.error
from av.codec.context import Flags, ThreadType
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...concurrency.cpu_slots import CpuSlot
from ...errors import SourceError
from ...geometry import Size
from ..frame_limits import check_frame_size, exceeds, limit_decoder, refused_size

_NUM_RECENT, _MAX_RECENT_ERRORS = 50, 40
"""A live stream has changed, or is of no use, once so many of its last packets cannot be decoded."""
_NONREF_RATIO = 0.6
"""Frames that no other frame needs are not decoded if at most this part of the frames is kept."""
_SINGLE_THREAD_PIXELS = 1920 * 1088
"""Up to this size one thread decodes a frame soon enough; more threads cost more than they gain."""


class LiveDecoder:
    """Decodes the packets of one stream, and counts those that it cannot.

    Args:
        video: the stream.
        name: the source, for messages.
        is_live: True if a stream that cannot be decoded for a while is lost; a recording goes on.
        max_pixels: frames with more pixels are refused.
        cpu_slot: entered while a packet is decoded.

    Attributes:
        skipped: packets that could not be decoded, so far.
    """

    def __init__(self, video: VideoStream, name: str, *, is_live: bool, max_pixels: int, cpu_slot: CpuSlot) -> None:
        self.skipped = 0
        self._max_pixels, self._cpu_slot = max_pixels, cpu_slot
        self._has_keyframe = self._has_frame = False
        self._video, self._name, self._is_live = video, name, is_live
        self._recent_errors: deque[bool] = deque(maxlen=_NUM_RECENT)
        self._skip: Literal["NONREF", "DEFAULT"] = "DEFAULT"
        limit_decoder(video.codec_context, max_pixels)
        # Threads that each decode a frame would delay them by as many frames.
        video.thread_type = ThreadType.SLICE
        if video.codec_context.width * video.codec_context.height <= _SINGLE_THREAD_PIXELS:
            video.codec_context.thread_count = 1
        video.codec_context.flags |= Flags.low_delay

    def limit_fps(self, max_fps: float | None, fps: float) -> None:
        """Skip frames that no other needs if most will be dropped.

        Args:
            max_fps: frames that are kept a second; None for all.
            fps: frames a second of the stream.
        """
        skip: Literal["NONREF", "DEFAULT"] = (
            "NONREF" if max_fps is not None and max_fps < _NONREF_RATIO * fps else "DEFAULT"
        )
        if skip != self._skip:
            self._skip = self._video.codec_context.skip_frame = skip

    def flush(self) -> None:
        """Forget the frames before; the next packet is a keyframe."""
        self._video.codec_context.flush_buffers()

    def decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        """Return the frames of a packet.

        Raises:
            SourceError: the first frame is too large, or hardly any of a live stream's last packets could be decoded.
        """
        self._has_keyframe = self._has_keyframe or packet.is_keyframe
        try:
            with self._cpu_slot:
                frames = self._video.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._count_skipped(refused_size(self._video.codec_context, error, packet, self._max_pixels))
            return []
        self._recent_errors.append(False)
        for frame in [frame for frame in frames if exceeds((frame.width, frame.height), self._max_pixels)]:
            self._count_skipped((frame.width, frame.height))
            frames.remove(frame)
        self._has_frame = self._has_frame or bool(frames)
        return frames

    def _count_skipped(self, size: Size | None) -> None:
        """Count a skipped packet or frame; ``size`` is that of a frame that is too large.

        Raises:
            SourceError: no frame came before a too large one, or hardly any packet could be decoded.
        """
        self.skipped += 1
        self._recent_errors.append(True)
        if size is not None and not self._has_frame:
            check_frame_size(self._name, size, self._max_pixels, refused=True)
        if self._is_live and self._has_keyframe and sum(self._recent_errors) >= _MAX_RECENT_ERRORS:
            raise SourceError(f"{self._name} can no longer be decoded", hint="its codec may have changed")
