"""The silence after which a connection counts as lost."""

from __future__ import annotations

from collections import deque

MAX_SILENCE_SECONDS = 300.0
"""Longest silence that any camera is granted."""
_UNKNOWN_PACE_SECONDS = 90.0
"""Silence that is granted while a camera's pace is not known: one frame a minute is normal for some."""
_NUM_USUAL_INTERVALS = 3
"""So many of its usual intervals a camera may be silent."""
_NUM_INTERVALS, _MEMORY_SECONDS = 16, 30.0
"""An interval is forgotten after so many others and so many seconds: some servers send in bursts."""


class SilenceLimit:
    """The longest silence of a camera, which follows its own pace.

    The pace is known over all connections.

    Args:
        timeout_seconds: the least limit, for cameras of many frames a second.

    Attributes:
        seconds: the limit.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._long_intervals: deque[tuple[int, float, float]] = deque(maxlen=_NUM_INTERVALS)
        self._num_intervals = 0
        self._last_time: float | None = None
        self.seconds = max(timeout_seconds, _UNKNOWN_PACE_SECONDS)

    def start_connection(self) -> None:
        """Begin a connection: the time since the one before is no interval."""
        self._last_time = None

    def record_data(self, now: float) -> None:
        """Record that data arrived at ``now``, in `time.monotonic` seconds."""
        if self._last_time is not None:
            self._record(now, now - self._last_time)
        self._last_time = now

    def record_loss(self, now: float) -> None:
        """Record that the limit passed: if the camera returns, it may be silent for longer."""
        self._record(now, self.seconds)

    def _record(self, now: float, interval_seconds: float) -> None:
        self._num_intervals += 1
        intervals = self._long_intervals
        if _NUM_USUAL_INTERVALS * interval_seconds > self._timeout_seconds:
            intervals.append((self._num_intervals, now, interval_seconds))
        while (
            intervals
            and self._num_intervals - intervals[0][0] > _NUM_INTERVALS
            and now - intervals[0][1] > _MEMORY_SECONDS
        ):
            intervals.popleft()
        longest_seconds = max((seconds for _, _, seconds in intervals), default=0.0)
        self.seconds = max(self._timeout_seconds, min(_NUM_USUAL_INTERVALS * longest_seconds, MAX_SILENCE_SECONDS))
