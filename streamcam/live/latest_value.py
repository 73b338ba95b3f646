"""One producer, many watchers: each takes the newest there is, and nobody waits for anybody."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestValue(Generic[T]):
    """The newest of a sequence of pictures. Callable from any thread.

    A watcher that is slow misses what came meanwhile; the producer never notices.

    Args:
        initial: what is newest before the first.

    Attributes:
        num_subscribers: how many watch; the producer need not make pictures while it is 0.
        has_new_subscriber: True while somebody has come since the newest picture.
    """

    def __init__(self, initial: T) -> None:
        self.num_subscribers = 0
        self.has_new_subscriber = False
        self._latest = 0, initial
        self._lock = threading.Lock()
        self._callbacks: set[Callable[[], None]] = set()

    def put(self, value: T) -> None:
        """Replaces the newest picture, and rings for every watcher."""
        with self._lock:
            self._latest = self._latest[0] + 1, value
            self.has_new_subscriber = False
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            # Whoever hung it up may be gone by now, with its event loop.
            with contextlib.suppress(RuntimeError):
                callback()

    @property
    def latest(self) -> tuple[int, T]:
        """Number of the newest picture, counted from 1, and the picture; 0 and `nothing` before the first."""
        return self._latest

    @contextlib.contextmanager
    def subscribe(self, on_update: Callable[[], None]) -> Iterator[None]:
        """While the block runs ``on_update`` is called after each picture, in the producer's thread; it must not wait."""
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
