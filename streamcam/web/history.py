"""Keep the classes of each camera for ten minutes, for the charts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import NamedTuple

from anyio.to_thread import run_sync

from ..live.status import CameraStatus, ClassScore, Controller
from .schemas import History, HistorySample

INTERVAL_SECONDS = 1.0
MAX_SAMPLES = 600
"""Ten minutes, about 0.4 MB a camera."""


class _Sample(NamedTuple):
    at: float
    top: tuple[ClassScore, ...]


class HistoryRecorder:
    """Samples the cameras of a run once a second. Call it in the page's event loop only.

    Args:
        controller: the run.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._samples: dict[str, deque[_Sample]] = {name: deque(maxlen=MAX_SAMPLES) for name in controller.handles}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            # An error of the run reaches the viewer with its next request.
            with contextlib.suppress(Exception):
                self.record((await run_sync(self._controller.status)).cameras, time.monotonic())
            await asyncio.sleep(INTERVAL_SECONDS)

    def record(self, cameras: tuple[CameraStatus, ...], now: float) -> None:
        """Keep a sample of each camera that shows new frames; drop those older than ten minutes.

        Args:
            cameras: their state.
            now: its time, by the monotonic clock.
        """
        for camera in cameras:
            samples = self._samples[camera.name]
            if camera.state == "live" and camera.top and not camera.stalled:
                samples.append(_Sample(now, camera.top))
            while samples and samples[0].at < now - INTERVAL_SECONDS * MAX_SAMPLES:
                samples.popleft()

    def get(self, camera: str, now: float) -> History:
        """Return the samples of a camera.

        Args:
            camera: its name.
            now: the time that samples are dated from, by the monotonic clock.
        """
        labels: dict[str, int] = {}
        samples = tuple(
            HistorySample(
                seconds_ago=round(now - sample.at, 2),
                classes=tuple(labels.setdefault(one.label, len(labels)) for one in sample.top),
                probabilities=tuple(round(one.probability, 4) for one in sample.top),
            )
            for sample in self._samples[camera]
        )
        return History(labels=tuple(labels), samples=samples)
