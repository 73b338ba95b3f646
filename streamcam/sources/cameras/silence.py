"""The silence after which a connection counts as lost."""

from __future__ import annotations

from collections import deque

MAX_SILENCE_SECONDS = 300.0
"""Longest silence that any camera is granted."""
_UNKNOWN_PACE_SECONDS = 90.0
"""Silence that is granted while a camera's pace is not known: one frame a minute is normal for some."""
_NUM_INTERVALS = 16
_NUM_USUAL_INTERVALS = 3
"""So many of its usual intervals a camera may be silent."""


class SilenceLimit:
    """The longest silence of a camera, which follows its own pace.

    The pace is known over all connections.

    Args:
        timeout_seconds: the least limit, for cameras of many frames a second.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._intervals: deque[float] = deque(maxlen=_NUM_INTERVALS)
        self._last_time: float | None = None
        self.seconds = max(timeout_seconds, _UNKNOWN_PACE_SECONDS)

    def start_connection(self) -> None:
        """Begin a connection: the time since the one before is no interval."""
        self._last_time = None

    def record_data(self, now: float) -> None:
        """Record that data arrived at ``now``, in `time.monotonic` seconds."""
        if self._last_time is not None:
            self._record(now - self._last_time)
        self._last_time = now

    def record_loss(self) -> None:
        """Record that the limit passed: if the camera returns, it may be silent for longer."""
        self._record(self.seconds)

    def _record(self, seconds: float) -> None:
        self._intervals.append(seconds)
        usual_seconds = min(max(self._intervals), MAX_SILENCE_SECONDS / _NUM_USUAL_INTERVALS)
        self.seconds = max(self._timeout_seconds, _NUM_USUAL_INTERVALS * usual_seconds)
