"""What is counted of a camera, in constant memory however long it runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

import numpy as np

from .status import Ages

_BINS = 60_001
"""Milliseconds that are told apart; whatever is older counts as the last."""

_RECENT = 10.0
"""Seconds over which ages are told while it runs."""

_RATE = 3.0
"""Seconds over which frames a second are told."""


class Histogram:
    """Ages by the millisecond, rounded up."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)

    def record(self, seconds: float) -> None:
        """Counts one age."""
        self.counts[min(_BINS - 1, max(0, -int(-seconds * 1000 // 1)))] += 1

    @property
    def ages(self) -> Ages:
        """Median, 99th percentile and largest: the smallest age that so many are not above."""
        total = self.counts.cumsum()
        if not total[-1]:
            return Ages()
        p50, p99, largest = (int(np.searchsorted(total, np.ceil(share * total[-1]))) for share in (0.5, 0.99, 1.0))
        return Ages(float(p50), float(p99), float(largest))

    @classmethod
    def joined(cls, parts: Iterable[Histogram]) -> Histogram:
        """All of several."""
        whole = cls()
        for part in parts:
            whole.counts += part.counts
        return whole


class Tally:
    """Counts the frames of one camera. Callable from any thread.

    Attributes:
        frames_in: frames that the camera delivered.
        frames_shown: frames that went to the outputs.
        frames_explained: frames that the model looked at.
        frames_dropped: frames that were too old when their turn came.
        frames_paused: frames that came while nothing new was to be shown.
        ages: of all shown frames.
    """

    def __init__(self) -> None:
        self.frames_in = self.frames_shown = self.frames_explained = self.frames_dropped = self.frames_paused = 0
        self.ages = Histogram()
        self._lock = threading.Lock()
        self._shown: deque[tuple[float, float]] = deque()
        self._explained: deque[float] = deque()

    def arrived(self) -> None:
        """A frame came."""
        with self._lock:
            self.frames_in += 1

    def dropped(self) -> None:
        """A frame was left out."""
        with self._lock:
            self.frames_dropped += 1

    def paused(self) -> None:
        """A frame came that is not to be shown."""
        with self._lock:
            self.frames_paused += 1

    def explained(self) -> None:
        """The model has looked at a frame."""
        now = time.monotonic()
        with self._lock:
            self.frames_explained += 1
            self._explained.append(now)
            while self._explained[0] < now - _RATE:
                self._explained.popleft()

    def shown(self, age: float) -> None:
        """A frame was shown, so many seconds after it came."""
        now = time.monotonic()
        with self._lock:
            self.frames_shown += 1
            self.ages.record(age)
            self._shown.append((now, age))
            while self._shown[0][0] < now - _RECENT:
                self._shown.popleft()

    @property
    def fps(self) -> float:
        """Frames shown a second, over the last seconds."""
        with self._lock:
            times = [time for time, _ in self._shown]
        return _rate(times)

    @property
    def explained_fps(self) -> float:
        """Frames explained a second, over the last seconds."""
        with self._lock:
            times = list(self._explained)
        return _rate(times)

    @property
    def recent(self) -> Ages:
        """Ages of what was shown in the last seconds."""
        since = time.monotonic() - _RECENT
        with self._lock:
            ages = [age * 1000 for time, age in self._shown if time >= since]
        if not ages:
            return Ages()
        p50, p99 = np.percentile(ages, (50, 99))
        return Ages(round(float(p50), 1), round(float(p99), 1), round(max(ages), 1))


def _rate(times: list[float]) -> float:
    """Events a second of the last seconds; of fewer where the first is younger."""
    now = time.monotonic()
    recent = [time for time in times if time > now - _RATE]
    if len(recent) < 2:
        return 0.0
    # The first of a run only tells when it began.
    began = recent[0] if len(recent) == len(times) else now - _RATE
    events = len(recent) - (began == recent[0])
    return round(events / max(now - began, 1e-3), 1)
