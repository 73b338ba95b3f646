"""Queue the newest frames of all cameras for the model: fairly, and never for long."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ..concurrency.group import Cancelled

if TYPE_CHECKING:
    from .model_binding import BatchSizes
    from .pending_frame import PendingFrame

_MAX_CALL_SHARE = 0.25
"""Largest part of the maximum latency that one call of the model may take, if a smaller batch takes less."""


class FairScheduler:
    """Hands out frames, the camera first that was served longest ago; does not wait for a batch to fill.

    Args:
        depth: frames of one camera that may wait; a newer one replaces the oldest.
        max_latency_seconds: older frames are dropped.
        max_fps: most frames a second that are handed out; None for no limit.

    Attributes:
        depth: as given; it may be changed.
        num_replaced: frames that were dropped for newer ones, or because they were too old.
    """

    def __init__(self, depth: int, max_latency_seconds: float, max_fps: float | None = None) -> None:
        self.depth = depth
        self.num_replaced = 0
        self._max_latency_seconds = max_latency_seconds
        self._period_seconds = 1 / max_fps if max_fps else 0.0
        self._not_before = 0.0
        self._waiting: dict[str, deque[PendingFrame]] = {}
        self._last_served: dict[str, int] = {}
        self._turn = 0
        self._stopped = False
        self._condition = threading.Condition()

    def submit(self, pending: PendingFrame) -> None:
        """Queue a camera's newest frame; it carries its model binding."""
        dropped: list[PendingFrame] = []
        with self._condition:
            waiting = self._waiting.setdefault(pending.camera, deque())
            # The binding may have changed with the camera's size, or with the method.
            while waiting and (len(waiting) >= self.depth or waiting[0].binding is not pending.binding):
                dropped.append(waiting.popleft())
            waiting.append(pending)
            self.num_replaced += len(dropped)
            self._condition.notify()
        for old in dropped:
            old.resolve(None)

    def next_batch(self) -> tuple[PendingFrame, ...]:
        """Return the next frames for one call of the model; waits until there is one.

        Raises:
            Cancelled: it was stopped.
        """
        while True:
            dropped: list[PendingFrame] = []
            with self._condition:
                batch = self._pick_batch(dropped)
                self.num_replaced += len(dropped)
                if not (batch or dropped):
                    if self._stopped:
                        raise Cancelled
                    wait_seconds = self._not_before - time.monotonic()
                    self._condition.wait(wait_seconds if wait_seconds > 0 and any(self._waiting.values()) else None)
            for old in dropped:
                old.resolve(None)
            if batch:
                return batch

    def _pick_batch(self, dropped: list[PendingFrame]) -> tuple[PendingFrame, ...]:
        now = time.monotonic()
        if self._stopped or now < self._not_before:
            return ()
        for waiting in self._waiting.values():
            while waiting and now - waiting[0].frame.arrival_time > self._max_latency_seconds:
                dropped.append(waiting.popleft())
        cameras = [name for name, waiting in self._waiting.items() if waiting]
        if not cameras:
            return ()
        cameras.sort(key=lambda name: self._last_served.get(name, 0))
        batch_sizes = _batch_sizes(self._waiting[cameras[0]][0])
        alike = [name for name in cameras if _batch_sizes(self._waiting[name][0]) is batch_sizes]
        size = batch_sizes.size_for(
            sum(len(self._waiting[name]) for name in alike), _MAX_CALL_SHARE * self._max_latency_seconds
        )
        batch: list[PendingFrame] = []
        while len(batch) < size:
            for name in alike:
                if self._waiting[name] and len(batch) < size:
                    batch.append(self._waiting[name].popleft())
                    self._turn += 1
                    self._last_served[name] = self._turn
        self._not_before = max(now - self._period_seconds, self._not_before or now) + self._period_seconds * len(batch)
        return tuple(batch)

    def stop(self) -> None:
        """End all waits, for good."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()


def _batch_sizes(pending: PendingFrame) -> BatchSizes:
    assert pending.binding is not None
    return pending.binding.batch_sizes
