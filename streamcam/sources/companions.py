"""Packets of the streams that travel with the frames, on the frames' clock."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

from av.packet import Packet

from .timeline import JUMP, Timeline

_FINEST = 2**31 - 1
"""Most ticks a second that FFmpeg's time bases have."""

_PATIENCE = Fraction(10)
"""Seconds for which packets of a new recording wait for its first frame."""


@dataclass(slots=True)
class _Track:
    """Where one stream is: the recording, counted from 0, and the time of its last packet in the file."""

    recording: int = 0
    last: Fraction | None = None


class Companions:
    """Moves packets as the frames of the same recording are moved.

    Where a file holds several recordings one after the other, each with a clock of its own, packets and frames change
    over at different places of the file.

    Args:
        timeline: of the frames.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.forget()

    def forget(self) -> None:
        """Starts anew, somewhere else in the file."""
        self._tracks: dict[int, _Track] = {}
        self._early: list[tuple[int, Fraction, Packet[Any]]] = []
        self._ready: list[Packet[Any]] = []

    def add(self, packet: Packet[Any], time: Fraction) -> None:
        """Takes a packet.

        Args:
            packet: with a dts and a time base.
            time: its dts in seconds, as in the file.
        """
        recording = self._recording(packet.stream.index, time)
        if recording < len(self._timeline.shifts):
            self._move(packet, recording)
            return
        self._early.append((recording, time, packet))
        if abs(time - self._early[0][1]) > _PATIENCE:
            self._move_early(everything=True)

    def take(self, *, everything: bool = False) -> tuple[Packet[Any], ...]:
        """What came since the last call; of new recordings only what the frames have reached, or ``everything``."""
        self._move_early(everything=everything)
        ready, self._ready = self._ready, []
        return tuple(ready)

    def _recording(self, stream: int, time: Fraction) -> int:
        track = self._tracks.setdefault(stream, _Track())
        if track.last is not None:
            leap, ahead = self._timeline.leap, time - track.last
            track.recording += ahead < -JUMP or (leap is not None and ahead > leap)
        track.last = time
        return track.recording

    def _move(self, packet: Packet[Any], recording: int) -> None:
        shift = self._timeline.taken_off(recording)
        if shift:
            _moved(packet, shift, self._timeline.time_base)
        self._ready.append(packet)

    def _move_early(self, *, everything: bool) -> None:
        reached = len(self._timeline.shifts)
        early, self._early = self._early, []
        for recording, time, packet in early:
            if everything or recording < reached:
                self._move(packet, recording)
            else:
                self._early.append((recording, time, packet))
        if everything:
            # The frames do not follow: only this stream's clock was wrong.
            for track in self._tracks.values():
                track.recording = min(track.recording, reached - 1)


def _moved(packet: Packet[Any], shift: Fraction, time_base: Fraction) -> None:
    """Takes seconds off a packet's times, in ticks so fine that it stays where it was beside the frames."""
    assert packet.dts is not None
    assert packet.time_base is not None
    old = Fraction(packet.time_base)
    fine = Fraction(1, lcm(old.denominator, time_base.denominator))
    new = fine if fine.denominator <= _FINEST else old
    packet.dts = round((packet.dts * old - shift) / new)
    if packet.pts is not None:
        packet.pts = round((packet.pts * old - shift) / new)
    if packet.duration is not None:
        packet.duration = round(packet.duration * old / new)
    packet.time_base = new
