"""The bounded queue between two threads of a pipeline."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1
"""Seconds between two calls of `on_wait`."""


class Cancelled(BaseException):
    """A stage group has ended.

    Raised in a stage's thread when its group ends early, and in a consumer that continues to read. Not an
    `Exception`: an ``except Exception`` must not mistake it for a failure.
    """


class Channel(Generic[T]):
    """A bounded queue between one producing and one consuming thread.

    Args:
        depth: number of items that may wait, at least 1.
        live: when full, `put` drops the oldest waiting item and counts it in `dropped` instead of waiting.
        on_wait: called every 0.1 s while the consumer waits, in its thread; may raise.
    """

    def __init__(self, depth: int, *, live: bool = False, on_wait: Callable[[], None] | None = None) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.dropped = 0
        self._depth = depth
        self._live = live
        self._on_wait = on_wait
        self._items: deque[T] = deque()
        self._closed = False
        self._cancelled = False
        self._error: BaseException | None = None
        self._condition = threading.Condition()

    def put(self, item: T) -> None:
        """Append an item; waits while the queue is full, unless live.

        Raises:
            Cancelled: the group has ended.
        """
        with self._condition:
            while len(self._items) >= self._depth and not self._cancelled:
                if self._live:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._condition.wait()
            if self._cancelled:
                raise Cancelled
            self._items.append(item)
            self._condition.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """Mark the end of the items; ``error`` is raised in the consumer after the last one."""
        with self._condition:
            self._closed = True
            self._error = error
            self._condition.notify_all()

    def cancel(self) -> None:
        """End all waits on both sides at once, and drop waiting items."""
        with self._condition:
            self._cancelled = True
            self._items.clear()
            self._condition.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._condition:
                while not (self._items or self._closed or self._cancelled):
                    if not self._condition.wait(_POLL_SECONDS if self._on_wait else None) and self._on_wait:
                        self._on_wait()
                if self._cancelled:
                    raise Cancelled
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._condition.notify_all()
            yield item
