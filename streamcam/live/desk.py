"""Where the newest frames of all cameras wait for the model: fairly, and never for long."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ..flow import Cancelled

if TYPE_CHECKING:
    from .lens import Kernels
    from .shot import Shot

_SHARE = 0.25
"""Part of the largest age that one call of the model may take, where fewer frames at once take less."""


class Desk:
    """Hands out frames in the order of how long ago their camera was served; nobody waits for a batch to fill.

    Args:
        depth: how many frames of one camera may wait; a newer one pushes the oldest out.
        max_age: seconds; older frames are passed by.
        fps: most frames a second that are handed out; None for no limit.

    Attributes:
        depth: as given; it may be changed.
    """

    def __init__(self, depth: int, max_age: float, fps: float | None = None) -> None:
        self.depth = depth
        self._max_age = max_age
        self._period = 1 / fps if fps else 0.0
        self._not_before = 0.0
        self._waiting: dict[str, deque[Shot]] = {}
        self._served: dict[str, int] = {}
        self._turn = 0
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, shot: Shot) -> None:
        """Lays down a camera's newest frame, which knows how it is to be looked at."""
        passed: list[Shot] = []
        with self._changed:
            waiting = self._waiting.setdefault(shot.camera, deque())
            # How pictures are looked at may have changed with the camera's size, or with the method.
            while waiting and (len(waiting) >= self.depth or waiting[0].optic is not shot.optic):
                passed.append(waiting.popleft())
            waiting.append(shot)
            self._changed.notify()
        for old in passed:
            old.settle(None)

    def take(self) -> tuple[Shot, ...]:
        """The next frames for one call of the model; waits for one, and for no more.

        Raises:
            Cancelled: it was stopped.
        """
        while True:
            passed: list[Shot] = []
            with self._changed:
                taken = self._chosen(passed)
                if not (taken or passed):
                    if self._stopped:
                        raise Cancelled
                    pause = self._not_before - time.monotonic()
                    self._changed.wait(pause if pause > 0 and any(self._waiting.values()) else None)
            for old in passed:
                old.settle(None)
            if taken:
                return taken

    def _chosen(self, passed: list[Shot]) -> tuple[Shot, ...]:
        now = time.monotonic()
        if self._stopped or now < self._not_before:
            return ()
        for waiting in self._waiting.values():
            while waiting and now - waiting[0].frame.arrived > self._max_age:
                passed.append(waiting.popleft())
        cameras = [name for name, waiting in self._waiting.items() if waiting]
        if not cameras:
            return ()
        cameras.sort(key=lambda name: self._served.get(name, 0))
        kernels = _kernels(self._waiting[cameras[0]][0])
        alike = [name for name in cameras if _kernels(self._waiting[name][0]) is kernels]
        size = kernels.size_for(sum(len(self._waiting[name]) for name in alike), _SHARE * self._max_age)
        taken: list[Shot] = []
        while len(taken) < size:
            for name in alike:
                if self._waiting[name] and len(taken) < size:
                    taken.append(self._waiting[name].popleft())
                    self._turn += 1
                    self._served[name] = self._turn
        self._not_before = max(now - self._period, self._not_before or now) + self._period * len(taken)
        return tuple(taken)

    def stop(self) -> None:
        """Releases whoever waits, for good."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def _kernels(shot: Shot) -> Kernels:
    assert shot.optic is not None
    return shot.optic.kernels
