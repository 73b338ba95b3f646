"""Packets of copied streams, moved to the frames' clock."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

from av.packet import Packet

from .timeline import BACKWARD_JUMP_SECONDS, Timeline

_MAX_TICKS_PER_SECOND = 2**31 - 1
"""Most ticks a second that FFmpeg's time bases have."""

_MAX_WAIT_SECONDS = Fraction(10)
"""Seconds for which packets of a new recording wait for its first frame."""


@dataclass(slots=True)
class _StreamPosition:
    """The position of one stream: recording, and time of the last packet.

    Recordings count from 0; the time is that in the file.
    """

    recording: int
    last_seconds: Fraction


_MAX_QUEUED_BYTES = 512 << 20
"""Bytes of packets between two frames: hours of audio. Packets beyond it are dropped."""


class PassthroughQueue:
    """Shifts packets as the frames of the same recording are shifted.

    A file may hold several recordings one after the other, each with its own clock. Packets and frames then change over
    at different places of the file.

    Args:
        timeline: of the frames.

    Attributes:
        num_dropped: packets dropped because too many came between two frames, or their times exceed 64 bits.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.num_dropped = 0
        self.reset()

    def reset(self) -> None:
        """Reset after a seek."""
        self._positions: dict[int, _StreamPosition] = {}
        self._pending: list[tuple[int, Fraction, Packet[Any]]] = []
        self._ready: list[Packet[Any]] = []
        self._queued_bytes = 0

    def add(self, packet: Packet[Any], dts_seconds: Fraction) -> None:
        """Add a packet.

        Args:
            packet: with a dts and a time base.
            dts_seconds: its dts in seconds, as in the file.
        """
        if self._queued_bytes + packet.size > _MAX_QUEUED_BYTES:
            self.num_dropped += 1
            return
        self._queued_bytes += packet.size
        recording = self._find_recording(packet.stream.index, dts_seconds)
        if recording < len(self._timeline.shift_ticks):
            self._release(packet, recording)
            return
        self._pending.append((recording, dts_seconds, packet))
        if abs(dts_seconds - self._pending[0][1]) > _MAX_WAIT_SECONDS:
            self._release_pending(flush=True)

    def pop_ready(self, *, flush: bool = False) -> tuple[Packet[Any], ...]:
        """Return the packets since the last call.

        Without ``flush``, of a new recording only up to the last frame.
        """
        self._release_pending(flush=flush)
        ready, self._ready = self._ready, []
        self._queued_bytes = sum(packet.size for _, _, packet in self._pending)
        return tuple(ready)

    def _find_recording(self, stream: int, dts_seconds: Fraction) -> int:
        if stream not in self._positions:
            # The time before its first packet is a gap too, which begins at the last frame.
            begin_seconds = min(dts_seconds, self._timeline.reached_seconds)
            self._positions[stream] = _StreamPosition(len(self._timeline.shift_ticks) - 1, begin_seconds)
        position = self._positions[stream]
        max_gap_seconds, ahead = self._timeline.max_gap_seconds, dts_seconds - position.last_seconds
        position.recording += ahead < -BACKWARD_JUMP_SECONDS or (
            max_gap_seconds is not None and ahead > max_gap_seconds
        )
        position.last_seconds = dts_seconds
        return position.recording

    def _release(self, packet: Packet[Any], recording: int) -> None:
        shift_seconds = self._timeline.recording_shift_seconds(recording)
        try:
            if shift_seconds:
                _shift_packet(packet, shift_seconds, self._timeline.time_base)
        except OverflowError:
            self.num_dropped += 1
            return
        self._ready.append(packet)

    def _release_pending(self, *, flush: bool) -> None:
        reached = len(self._timeline.shift_ticks)
        pending, self._pending = self._pending, []
        for recording, dts_seconds, packet in pending:
            if flush or recording < reached:
                self._release(packet, recording)
            else:
                self._pending.append((recording, dts_seconds, packet))
        if flush:
            # The frames do not follow: only this stream's clock was wrong.
            for position in self._positions.values():
                position.recording = min(position.recording, reached - 1)


def _shift_packet(packet: Packet[Any], shift_seconds: Fraction, time_base: Fraction) -> None:
    """Shift a packet's times earlier.

    The ticks are fine enough to stay aligned with the frames.
    """
    assert packet.dts is not None
    assert packet.time_base is not None
    old = Fraction(packet.time_base)
    fine = Fraction(1, lcm(old.denominator, time_base.denominator))
    new = fine if fine.denominator <= _MAX_TICKS_PER_SECOND else old
    packet.dts = round((packet.dts * old - shift_seconds) / new)
    if packet.pts is not None:
        packet.pts = round((packet.pts * old - shift_seconds) / new)
    if packet.duration is not None:
        packet.duration = round(packet.duration * old / new)
    packet.time_base = new
