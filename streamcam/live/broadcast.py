"""One producer, many watchers: each takes the newest there is, and nobody waits for anybody."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Broadcast(Generic[T]):
    """The newest of a sequence of pictures. Callable from any thread.

    A watcher that is slow misses what came meanwhile; the producer never notices.

    Args:
        nothing: what is newest before the first.

    Attributes:
        watchers: how many watch; the producer need not make pictures while it is 0.
        expected: True while somebody has come since the newest picture.
    """

    def __init__(self, nothing: T) -> None:
        self.watchers = 0
        self.expected = False
        self._newest = 0, nothing
        self._lock = threading.Lock()
        self._bells: set[Callable[[], None]] = set()

    def put(self, picture: T) -> None:
        """Replaces the newest picture, and rings for every watcher."""
        with self._lock:
            self._newest = self._newest[0] + 1, picture
            self.expected = False
            bells = tuple(self._bells)
        for bell in bells:
            # Whoever hung it up may be gone by now, with its event loop.
            with contextlib.suppress(RuntimeError):
                bell()

    @property
    def newest(self) -> tuple[int, T]:
        """Number of the newest picture, counted from 1, and the picture; 0 and `nothing` before the first."""
        return self._newest

    @contextlib.contextmanager
    def watched(self, bell: Callable[[], None]) -> Iterator[None]:
        """While the block runs ``bell`` is called after each picture, in the producer's thread; it must not wait."""
        with self._lock:
            self.watchers += 1
            self.expected = True
            self._bells.add(bell)
        try:
            yield
        finally:
            with self._lock:
                self.watchers -= 1
                self._bells.discard(bell)
