"""Timing of a camera's frames: clock, pacing, and the delay of decoding."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

TICKS_PER_SECOND = 90_000
"""Ticks of a camera's clock in a second."""

_MAX_GAP_SECONDS = 60.0
"""Seconds; a longer wait for the next frame is a jump in the stream's time."""
_READ_NOISE_SECONDS = 0.005
"""Seconds that a read may take without having waited for the peer."""


class LiveClock:
    """Time stamps that keep increasing over all connections.

    The stream's own start over with each connection.

    Args:
        tolerance_seconds: seconds by which a time stamp may differ from the frame's arrival.
    """

    def __init__(self, tolerance_seconds: float) -> None:
        self._tolerance_seconds = tolerance_seconds
        self._shift_ticks: int | None = None
        self._last_pts = -1

    def start_connection(self) -> None:
        """Begin a new connection: its first frame gets the time of its arrival."""
        self._shift_ticks = None

    def assign_pts(self, stream_seconds: Fraction | None, arrival_seconds: float) -> int:
        """Return the next frame's pts in ticks, greater than all before.

        Args:
            stream_seconds: the frame's time in its stream, in seconds; None if the stream has none.
            arrival_seconds: seconds on a clock that runs across connections.
        """
        now = round(arrival_seconds * TICKS_PER_SECOND)
        if stream_seconds is None:
            pts = now
        else:
            stamp = round(stream_seconds * TICKS_PER_SECOND)
            if (
                self._shift_ticks is None
                or abs(stamp + self._shift_ticks - now) > self._tolerance_seconds * TICKS_PER_SECOND
            ):
                self._shift_ticks = now - stamp
            pts = stamp + self._shift_ticks
        self._last_pts = max(pts, self._last_pts + 1)
        return self._last_pts

    def to_pts(self, stream_seconds: Fraction) -> int | None:
        """Return the time of another stream of the connection in ticks; None before its first frame."""
        return None if self._shift_ticks is None else round(stream_seconds * TICKS_PER_SECOND) + self._shift_ticks


class RealtimePacer:
    """Delays frames that arrive faster than they were recorded.

    Args:
        max_latency_seconds: with a longer delay the clock restarts from now; frames are not hurried.
        wait: waits so many seconds, or less if interrupted.
    """

    def __init__(self, max_latency_seconds: float, wait: Callable[[float], object]) -> None:
        self._max_latency_seconds = max_latency_seconds
        self._wait = wait
        self._begin_time: float | None = None

    def wait_until_due(self, stream_seconds: Fraction) -> None:
        """Wait until the frame at ``stream_seconds`` of its stream is due."""
        now = time.monotonic()
        early_seconds = None if self._begin_time is None else self._begin_time + float(stream_seconds) - now
        if early_seconds is None or not -self._max_latency_seconds <= early_seconds <= _MAX_GAP_SECONDS:
            self._begin_time = now - float(stream_seconds)
        elif early_seconds > 0:
            self._wait(early_seconds)


class BacklogEstimator:
    """Selects packets of a live stream to drop before a slow decoder.

    So no delay builds up.

    If decoding takes longer than the stream lasts, packets wait in the socket's buffer, and their delay cannot be
    measured. It is estimated instead: the time spent on each packet, less the progress of the stream meanwhile. A read
    that waits for the peer shows that the buffer is empty. So neither a short stall of the network nor a stream whose
    clock runs wrong counts as a slow decoder.

    Attributes:
        backlog_seconds: seconds of stream that are estimated to wait.
    """

    def __init__(self, max_latency_seconds: float) -> None:
        """Begin with an empty buffer.

        Args:
            max_latency_seconds: delay in seconds from which packets are dropped until the next keyframe.
        """
        self.backlog_seconds = 0.0
        self._max_latency_seconds = max_latency_seconds
        self._dropping = False

    def should_drop(
        self, *, step_seconds: Fraction | None, busy_seconds: float, waited_seconds: float, is_keyframe: bool
    ) -> bool:
        """Return whether to drop the packet just read.

        Args:
            step_seconds: seconds of stream since the packet before; None if unknown.
            busy_seconds: seconds from then until this one was asked for.
            waited_seconds: seconds that reading it took.
            is_keyframe: True if decoding can begin with it.
        """
        if step_seconds is None or waited_seconds > max(float(step_seconds) / 2, _READ_NOISE_SECONDS):
            self.backlog_seconds = 0.0
        else:
            self.backlog_seconds = max(0.0, self.backlog_seconds + busy_seconds - float(step_seconds))
        if self.backlog_seconds > self._max_latency_seconds:
            self._dropping = True
        elif is_keyframe and self.backlog_seconds <= self._max_latency_seconds / 2:
            self._dropping = False
        return self._dropping
