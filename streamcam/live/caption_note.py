"""The note in live captions: the latency, and how old the map is."""

from __future__ import annotations

import time

from .stats import FrameStats

_PERIOD_SECONDS = 1.0
_STALE_MAP_SECONDS = 0.15
"""The note shows the age of the map from here on."""


class CaptionNote:
    """Words a note once a second.

    So it stays readable, and captions are not rendered anew for each frame. The first latency and a map that is old
    are shown at once.

    Args:
        stats: has the latencies.
    """

    def __init__(self, stats: FrameStats) -> None:
        self._stats = stats
        self._text, self._time, self._lag_seconds = "", float("-inf"), 0.0
        self._shows_lag = False

    def text(self, lag_seconds: float) -> str:
        """Return the note.

        Args:
            lag_seconds: age of the shown map, relative to its frame.
        """
        now = time.monotonic()
        self._lag_seconds = max(self._lag_seconds, lag_seconds)
        is_due = now - self._time >= _PERIOD_SECONDS or not self._text
        if is_due or (lag_seconds >= _STALE_MAP_SECONDS and not self._shows_lag):
            latency = self._stats.recent_latency
            self._shows_lag = self._lag_seconds >= _STALE_MAP_SECONDS
            parts = [f"{latency.p50:.0f} ms"] if latency.max else []
            parts += [f"map {self._lag_seconds:.1f} s old"] if self._shows_lag else []
            self._text, self._time, self._lag_seconds = " · ".join(parts), now, 0.0
        return self._text
