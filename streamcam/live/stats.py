"""Count a camera's frames and latencies in constant memory."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable

import numpy as np

from .status import Latency, LatencyHistogram

_BINS = 60_001
"""One bin a millisecond; the last one takes all longer latencies."""

_BUCKET_MILLISECONDS = (10, 25, 50, 75, 100, 150, 200, 300, 500, 1000, 2500, 5000, 10_000)
"""Upper bounds of the buckets of `LatencyHistogram`."""

_LATENCY_WINDOW_SECONDS = 10.0
"""Window of `FrameStats.recent_latency`."""

_FPS_WINDOW_SECONDS = 3.0
"""Window of `FrameStats.fps` and `FrameStats.explained_fps`."""

_STALL_SECONDS = 3.0
"""`FrameStats.stalled` after so long without a shown frame, unless the camera is slow."""

_PACE_FRAMES = 8
"""The longest interval between so many frames is the camera's pace."""


class Histogram:
    """Latencies counted by the millisecond, rounded up.

    Attributes:
        counts: int64 ``(bins,)``, frames in each bin.
        sum_seconds: sum of all latencies.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)
        self.sum_seconds = 0.0

    def record(self, seconds: float) -> None:
        """Count one latency."""
        self.counts[min(_BINS - 1, max(0, -int(-seconds * 1000 // 1)))] += 1
        self.sum_seconds += max(0.0, seconds)

    @property
    def latency(self) -> Latency:
        """Return median, 99th percentile and maximum.

        Each is the smallest latency that so many do not exceed.
        """
        total = self.counts.cumsum()
        if not total[-1]:
            return Latency()
        p50, p99, largest = (int(np.searchsorted(total, np.ceil(share * total[-1]))) for share in (0.5, 0.99, 1.0))
        return Latency(float(p50), float(p99), float(largest))

    def to_buckets(self) -> LatencyHistogram:
        """Return the cumulative counts at the bucket bounds."""
        total = self.counts.cumsum()
        buckets = tuple((bound / 1000, int(total[bound])) for bound in _BUCKET_MILLISECONDS)
        return LatencyHistogram(buckets, int(total[-1]), self.sum_seconds)

    @classmethod
    def merge(cls, parts: Iterable[Histogram]) -> Histogram:
        """Return the sum of several histograms."""
        merged = cls()
        for part in parts:
            merged.counts += part.counts
            merged.sum_seconds += part.sum_seconds
        return merged


class FrameStats:
    """The frame counts of one camera. Callable from any thread.

    Attributes:
        frames_in: frames that the camera delivered.
        frames_shown: frames that went to the outputs.
        frames_explained: frames that the model explained.
        frames_zero_map: explained frames whose map is zero for a target.
        frames_dropped: frames that were too old to be shown.
        frames_paused: frames that arrived while the camera was paused.
        latencies: of all shown frames.
    """

    def __init__(self) -> None:
        self.frames_in = self.frames_shown = self.frames_explained = self.frames_dropped = self.frames_paused = 0
        self.frames_zero_map = 0
        self.latencies = Histogram()
        self._lock = threading.Lock()
        self._recent_shown: deque[tuple[float, float]] = deque()
        self._recent_explained: deque[float] = deque()
        self._arrivals: deque[float] = deque(maxlen=_PACE_FRAMES)
        self._unshown_since: float | None = None

    def count_received(self) -> None:
        """Count a frame from the camera."""
        now = time.monotonic()
        with self._lock:
            self.frames_in += 1
            self._arrivals.append(now)
            if self._unshown_since is None:
                self._unshown_since = now

    def count_dropped(self) -> None:
        """Count a dropped frame."""
        with self._lock:
            self.frames_dropped += 1

    def count_paused(self) -> None:
        """Count a frame that arrived during a pause."""
        with self._lock:
            self.frames_paused += 1
            self._unshown_since = None

    def count_explained(self) -> None:
        """Count an explained frame."""
        now = time.monotonic()
        with self._lock:
            self.frames_explained += 1
            self._recent_explained.append(now)
            while self._recent_explained[0] < now - _FPS_WINDOW_SECONDS:
                self._recent_explained.popleft()

    def count_zero_map(self) -> None:
        """Count an explained frame whose map is zero."""
        with self._lock:
            self.frames_zero_map += 1

    def count_shown(self, latency_seconds: float) -> None:
        """Count a shown frame, ``latency_seconds`` after its arrival."""
        now = time.monotonic()
        with self._lock:
            self.frames_shown += 1
            self._unshown_since = None
            self.latencies.record(latency_seconds)
            self._recent_shown.append((now, latency_seconds))
            while self._recent_shown[0][0] < now - _LATENCY_WINDOW_SECONDS:
                self._recent_shown.popleft()

    @property
    def stalled(self) -> bool:
        """True if no new frame is shown.

        Either no frame arrives for longer than is usual for the camera, or frames arrive and are dropped.
        """
        now = time.monotonic()
        with self._lock:
            arrivals, unshown_since = list(self._arrivals), self._unshown_since
        if len(arrivals) < 2:
            return False
        pace = max(after - before for before, after in itertools.pairwise(arrivals))
        return now - arrivals[-1] > max(_STALL_SECONDS, 2 * pace) or (
            unshown_since is not None and now - unshown_since > _STALL_SECONDS
        )

    @property
    def latency_histogram(self) -> LatencyHistogram:
        """Latency of all shown frames, as cumulative counts."""
        with self._lock:
            return self.latencies.to_buckets()

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
        """Latency of the frames shown in the last seconds."""
        since = time.monotonic() - _LATENCY_WINDOW_SECONDS
        with self._lock:
            latencies_ms = [latency * 1000 for shown_at, latency in self._recent_shown if shown_at >= since]
        if not latencies_ms:
            return Latency()
        p50, p99 = np.percentile(latencies_ms, (50, 99))
        return Latency(round(float(p50), 1), round(float(p99), 1), round(max(latencies_ms), 1))


def _events_per_second(times: list[float]) -> float:
    """Return events a second over the window.

    The window starts at the first event if that is later.
    """
    now = time.monotonic()
    recent = [time for time in times if time > now - _FPS_WINDOW_SECONDS]
    if len(recent) < 2:
        return 0.0
    # The first event of a run marks the start and is not counted.
    start = recent[0] if len(recent) == len(times) else now - _FPS_WINDOW_SECONDS
    events = len(recent) - (start == recent[0])
    return round(events / max(now - start, 1e-3), 1)
