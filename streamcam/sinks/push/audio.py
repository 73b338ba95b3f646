"""The camera's sound in a live output: packets are copied, not encoded again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from ...frames import AudioPacket
from ...media.stream_header import unpack_stream
from ..codecs import AUDIO_CODECS
from ..stream_copy import StreamCopier, describe_stream
from .protocol import TIME_BASE

_MAX_PENDING = 1000
"""Packets that may wait for a frame."""


class AudioFeed:
    """The audio stream of a camera, for muxers.

    Args:
        warn: called with a line for the user.

    Attributes:
        template: the announced stream; None if there is none.
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._header, self._is_dropped = b"", False
        self._pending: deque[AudioPacket] = deque(maxlen=_MAX_PENDING)
        self.template: Stream | None = None

    def announce(self, item: AudioPacket) -> bool:
        """Take the description of a stream; return True if it differs from the one before."""
        if item.header == self._header:
            return False
        is_first, self._header = not self._header, item.header
        self._container, self.template = unpack_stream(item.header)
        return not is_first

    def drop(self, reason: str) -> None:
        """Drop the audio from now on, with a warning."""
        self._warn(reason)
        self._is_dropped = True
        self._pending.clear()

    def add(self, item: AudioPacket) -> None:
        """Keep a packet with data until `take`."""
        if self.template is not None and not self._is_dropped:
            self._pending.append(item)

    def take(self, first_pts: int, *, before_pts: float = math.inf) -> tuple[Packet[Any], ...]:
        """Return the kept packets as those of the template.

        Packets before the output's first frame are dropped.

        Args:
            first_pts: pts of that frame, which is the output's time 0.
            before_pts: later packets are kept.
        """
        taken = [item for item in self._pending if item.pts < before_pts]
        self._pending = deque((item for item in self._pending if item.pts >= before_pts), _MAX_PENDING)
        return tuple(self._packet(item, item.pts - first_pts) for item in taken if item.pts >= first_pts)

    def _packet(self, item: AudioPacket, pts: int) -> Packet[Any]:
        packet: Packet[Any] = Packet(item.data)
        assert self.template is not None
        packet.stream, packet.time_base = self.template, TIME_BASE
        packet.pts = packet.dts = pts
        packet.duration = item.duration
        packet.is_keyframe = True
        return packet

    def add_to(self, output: OutputContainer, stream: str) -> StreamCopier | None:
        """Add the stream to a live output; return None, with a warning, if it does not fit.

        Args:
            output: not started.
            stream: one of `streamcam.sinks.codecs.STREAMS`.
        """
        if self.template is None:
            return None
        context = self.template.codec_context
        codec = context.codec.canonical_name if context else ""
        lacks_header = codec == "aac" and stream in ("rtsp", "rtmp") and not (context and context.extradata)
        if codec not in AUDIO_CODECS[stream] or lacks_header:
            self.drop(f"{describe_stream(self.template)} is dropped: {stream} cannot hold it")
            return None
        return StreamCopier(output, [self.template])
