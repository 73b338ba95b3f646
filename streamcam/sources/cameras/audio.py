"""The camera's sound: packets of its audio stream, for the outputs."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from ...frames import AudioPacket
from ...media.stream_header import pack_stream
from ...notes import get_logger

logger = get_logger(__name__)


class AudioTap:
    """Passes on the packets of one connection's audio stream.

    Their times are on the clock of the frames.

    Args:
        container: of the connection.
        name: of the camera, for messages.
        to_pts: stream time in seconds -> ticks of the camera's clock; None before the first frame.
        on_packet: gets each packet; first one without data, which announces the stream.

    Attributes:
        streams: what to demux besides the video: the audio stream, or nothing.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        to_pts: Callable[[Fraction], int | None],
        on_packet: Callable[[AudioPacket], object],
    ) -> None:
        self._to_pts, self._on_packet = to_pts, on_packet
        self.streams: tuple[Stream, ...] = ()
        best = container.streams.best("audio")
        if best is None:
            logger.warning("%s: has no audio stream", name)
            return
        try:
            self._header = pack_stream(best)
        except ValueError as error:
            logger.warning("%s: audio is dropped: %s", name, error)
            return
        self.streams = (best,)
        on_packet(AudioPacket(self._header, b"", 0, 0))

    def take(self, packet: Packet[Any]) -> bool:
        """Pass on a packet if it is audio; return True then."""
        if packet.stream not in self.streams:
            return False
        ticks = packet.pts if packet.pts is not None else packet.dts
        if packet.size and ticks is not None and packet.time_base:
            pts = self._to_pts(ticks * Fraction(packet.time_base))
            if pts is not None:
                self._on_packet(AudioPacket(self._header, bytes(packet), pts, _ticks(packet)))
        return True


def _ticks(packet: Packet[Any]) -> int:
    return round((packet.duration or 0) * Fraction(packet.time_base) * 90_000)
