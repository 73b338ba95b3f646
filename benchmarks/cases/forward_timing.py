"""What both sides of the forward benchmark count with; the standard library only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

WARM, SECONDS, BURSTS = 3, 2.0, 5


def time_per_image(work: Callable[[], object], num_images: int) -> float:
    """CPU milliseconds per image: median of bursts of calls, after the first calls."""
    for _ in range(WARM):
        work()
    started = time.perf_counter()
    work()
    calls = max(1, round(SECONDS / BURSTS / max(time.perf_counter() - started, 1e-4)))
    bursts = []
    for _ in range(BURSTS):
        before = time.process_time()
        for _ in range(calls):
            work()
        bursts.append((time.process_time() - before) * 1000 / (calls * num_images))
    return statistics.median(bursts)
