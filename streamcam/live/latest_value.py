"""One producer, many subscribers: each takes the latest value, and none delays another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestValue(Generic[T]):
    """The latest of a sequence of values. Callable from any thread.

    A slow subscriber misses the values between; the producer never waits.

    Args:
        initial: the value before the first `put`.

    Attributes:
        num_subscribers: open subscriptions; the producer may skip its work while it is 0.
        has_new_subscriber: True if a subscription began after the latest `put`.
    """

    def __init__(self, initial: T) -> None:
        self.num_subscribers = 0
        self.has_new_subscriber = False
        self._latest = 0, initial
        self._lock = threading.Lock()
        self._callbacks: set[Callable[[], None]] = set()

    def put(self, value: T) -> None:
        """Replace the value and call every subscriber."""
        with self._lock:
            self._latest = self._latest[0] + 1, value
            self.has_new_subscriber = False
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            # The subscriber's event loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                callback()

    @property
    def latest(self) -> tuple[int, T]:
        """The value and its number, counted from 1; 0 and ``initial`` before the first."""
        return self._latest

    @contextlib.contextmanager
    def subscribe(self, on_update: Callable[[], None]) -> Iterator[None]:
        """Call ``on_update`` after each `put` while the block runs.

        Args:
            on_update: runs in the producer's thread, so it must not wait.
        """
        with self._lock:
            self.num_subscribers += 1
            self.has_new_subscriber = True
            self._callbacks.add(on_update)
        try:
            yield
        finally:
            with self._lock:
                self.num_subscribers -= 1
                self._callbacks.discard(on_update)
