"""What is counted of a camera, in constant memory however long it runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

import numpy as np

from .status import Latency

_BINS = 60_001
"""Milliseconds that are told apart; whatever is older counts as the last."""

_LATENCY_WINDOW_SECONDS = 10.0
"""Seconds over which ages are told while it runs."""

_FPS_WINDOW_SECONDS = 3.0
"""Seconds over which frames a second are told."""


class Histogram:
    """Ages by the millisecond, rounded up."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)

    def record(self, seconds: float) -> None:
        """Counts one age."""
        self.counts[min(_BINS - 1, max(0, -int(-seconds * 1000 // 1)))] += 1

    @property
    def latency(self) -> Latency:
        """Median, 99th percentile and largest: the smallest age that so many are not above."""
        total = self.counts.cumsum()
        if not total[-1]:
            return Latency()
        p50, p99, largest = (int(np.searchsorted(total, np.ceil(share * total[-1]))) for share in (0.5, 0.99, 1.0))
        return Latency(float(p50), float(p99), float(largest))

    @classmethod
    def merge(cls, parts: Iterable[Histogram]) -> Histogram:
        """All of several."""
        merged = cls()
        for part in parts:
            merged.counts += part.counts
        return merged


class FrameStats:
    """Counts the frames of one camera. Callable from any thread.

    Attributes:
        frames_in: frames that the camera delivered.
        frames_shown: frames that went to the outputs.
        frames_explained: frames that the model looked at.
        frames_dropped: frames that were too old when their turn came.
        frames_paused: frames that came while nothing new was to be shown.
        latencies: of all shown frames.
    """

    def __init__(self) -> None:
        self.frames_in = self.frames_shown = self.frames_explained = self.frames_dropped = self.frames_paused = 0
        self.latencies = Histogram()
        self._lock = threading.Lock()
        self._recent_shown: deque[tuple[float, float]] = deque()
        self._recent_explained: deque[float] = deque()

    def count_received(self) -> None:
        """A frame came."""
        with self._lock:
            self.frames_in += 1

    def count_dropped(self) -> None:
        """A frame was left out."""
        with self._lock:
            self.frames_dropped += 1

    def count_paused(self) -> None:
        """A frame came that is not to be shown."""
        with self._lock:
            self.frames_paused += 1

    def count_explained(self) -> None:
        """The model has looked at a frame."""
        now = time.monotonic()
        with self._lock:
            self.frames_explained += 1
            self._recent_explained.append(now)
            while self._recent_explained[0] < now - _FPS_WINDOW_SECONDS:
                self._recent_explained.popleft()

    def count_shown(self, latency_seconds: float) -> None:
        """A frame was shown, so many seconds after it came."""
        now = time.monotonic()
        with self._lock:
            self.frames_shown += 1
            self.latencies.record(latency_seconds)
            self._recent_shown.append((now, latency_seconds))
            while self._recent_shown[0][0] < now - _LATENCY_WINDOW_SECONDS:
                self._recent_shown.popleft()

    @property
    def fps(self) -> float:
        """Frames shown a second, over the last seconds."""
        with self._lock:
            times = [time for time, _ in self._recent_shown]
        return _events_per_second(times)

    @property
    def explained_fps(self) -> float:
        """Frames explained a second, over the last seconds."""
        with self._lock:
            times = list(self._recent_explained)
        return _events_per_second(times)

    @property
    def recent_latency(self) -> Latency:
        """Ages of what was shown in the last seconds."""
        since = time.monotonic() - _LATENCY_WINDOW_SECONDS
        with self._lock:
            latencies_ms = [age * 1000 for time, age in self._recent_shown if time >= since]
        if not latencies_ms:
            return Latency()
        p50, p99 = np.percentile(latencies_ms, (50, 99))
        return Latency(round(float(p50), 1), round(float(p99), 1), round(max(latencies_ms), 1))


def _events_per_second(times: list[float]) -> float:
    """Events a second of the last seconds; of fewer where the first is younger."""
    now = time.monotonic()
    recent = [time for time in times if time > now - _FPS_WINDOW_SECONDS]
    if len(recent) < 2:
        return 0.0
    # The first of a run only tells when it began.
    start = recent[0] if len(recent) == len(times) else now - _FPS_WINDOW_SECONDS
    events = len(recent) - (start == recent[0])
    return round(events / max(now - start, 1e-3), 1)
