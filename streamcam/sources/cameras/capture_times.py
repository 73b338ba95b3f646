"""Capture times of frames, by their stream or their arrival."""

from __future__ import annotations

import struct
import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from av.packet import Packet
from av.video.frame import VideoFrame

LatencySource: TypeAlias = Literal["capture", "arrival"]

_PRODUCER_TIME = struct.Struct("=q")
"""Begin of FFmpeg's ``AVProducerReferenceTime``: microseconds since 1970."""
_MAX_CLOCK_ERROR_SECONDS = 0.1
_MAX_AGE_SECONDS = 30.0
"""A frame that claims to be younger than 0 less the error, or older than this, comes from a clock that is wrong."""
_BUCKET_SECONDS = 10.0
_NUM_BUCKETS = 6
_MAX_DRIFT_SECONDS = 0.1
"""A stream that falls behind by more in each of three buckets has a clock that runs wrong."""
_MAX_JUMP_SECONDS = 60.0
_LATE_SECONDS = 0.1
_PACED_READS = 10
"""Late packets that must come one by one."""


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A decoded frame and its times.

    Attributes:
        video_frame: as decoded.
        stream_seconds: display time in its stream; None if it has none.
        arrival_time: in `time.monotonic` seconds; the time it was due, if it came late and newer ones follow at once.
        capture_time: likewise; see `CaptureTimes`.
    """

    video_frame: VideoFrame
    stream_seconds: Fraction | None
    arrival_time: float
    capture_time: float


class TransportDelay:
    """Estimates the delay of packets against the fastest of the last minute.

    After a stall, packets arrive later than their time stamps say. A stream whose clock runs slower than ours
    falls behind steadily; that is no delay.
    """

    def __init__(self) -> None:
        self._least: deque[float] = deque(maxlen=_NUM_BUCKETS)
        self._bucket_start = self._last_offset = 0.0

    def update(self, stream_seconds: Fraction, arrival_time: float) -> float:
        """Return the delay of a packet in seconds, 0 or more.

        Args:
            stream_seconds: decoding time of the packet.
            arrival_time: in `time.monotonic` seconds.
        """
        offset = arrival_time - float(stream_seconds)
        if not self._least or abs(offset - self._last_offset) > _MAX_JUMP_SECONDS:
            self._least.clear()
            self._least.append(offset)
            self._bucket_start = arrival_time
        elif arrival_time - self._bucket_start >= _BUCKET_SECONDS:
            self._least.append(offset)
            self._bucket_start = arrival_time
        self._last_offset = offset
        self._least[-1] = min(self._least[-1], offset)
        complete = list(self._least)[-4:-1]
        is_drifting = len(complete) == 3 and all(
            later - earlier > _MAX_DRIFT_SECONDS for earlier, later in pairwise(complete)
        )
        return 0.0 if is_drifting else offset - min(self._least)


class CaptureTimes:
    """The capture times of one connection's frames.

    Attributes:
        latency_source: ``capture`` if the stream gives the capture time of its frames (RTCP sender reports).
        delay_seconds: how much later than usual the last packet arrived.
    """

    def __init__(self) -> None:
        self.latency_source: LatencySource = "arrival"
        self.delay_seconds = 0.0
        self._transport = TransportDelay()
        self._paced_reads = 0
        self._stream_start_time: float | None = None

    def record_packet(self, packet: Packet[Any], stream_seconds: Fraction | None, arrival_time: float) -> None:
        """Record the times of a packet.

        Args:
            packet: a packet of the video.
            stream_seconds: its decoding time; None if the stream has no time stamps.
            arrival_time: in `time.monotonic` seconds.
        """
        if stream_seconds is None:
            return
        self.delay_seconds = self._transport.update(stream_seconds, arrival_time)
        if packet.has_sidedata("prft"):
            (microseconds,) = _PRODUCER_TIME.unpack_from(bytes(packet.get_sidedata("prft")))
            age_seconds = time.time() - microseconds / 1e6
            is_plausible = -_MAX_CLOCK_ERROR_SECONDS <= age_seconds <= _MAX_AGE_SECONDS
            self._stream_start_time = time.monotonic() - age_seconds - float(stream_seconds) if is_plausible else None
        self.latency_source = "arrival" if self._stream_start_time is None else "capture"

    def is_newest(self, waited_seconds: float, step_seconds: Fraction | None) -> bool:
        """Return whether the peer has no newer packet than a late one.

        It is if the peer sends late packets one by one. A single wait proves nothing: this process may have waited
        for the CPU.

        Args:
            waited_seconds: seconds that reading the packet took.
            step_seconds: seconds of stream since the packet before; None if unknown.
        """
        is_paced = step_seconds is None or waited_seconds > float(step_seconds) / 2
        self._paced_reads = self._paced_reads + 1 if is_paced and self.delay_seconds > _LATE_SECONDS else 0
        return self._paced_reads >= _PACED_READS

    def capture_time(self, frame_seconds: Fraction | None, arrival_time: float) -> float:
        """Return when a frame was captured, in `time.monotonic` seconds.

        Without a capture time in the stream, return when the frame should have arrived.

        Args:
            frame_seconds: display time of the frame in its stream.
            arrival_time: in `time.monotonic` seconds.
        """
        if self._stream_start_time is None or frame_seconds is None:
            return arrival_time - self.delay_seconds
        return min(arrival_time, self._stream_start_time + float(frame_seconds))
