"""Items shared by several workers, with the results in order."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import StreamcamError
from .channel import Cancelled

T = TypeVar("T")
R = TypeVar("R")
_END = object()


class OrderedPool(Generic[T, R]):
    """Distribute items to several workers; return the results in order.

    A worker may serve in several threads. Once it has failed in one of them, it takes no more items in any.

    Args:
        items: read by one thread at a time.
        workers: number of workers.
        depth: number of items that may be in progress or done, and not yet taken.
    """

    def __init__(self, items: Iterable[T], workers: int, depth: int) -> None:
        self._items = iter(items)
        self._workers = workers
        self._failed_workers: set[int] = set()
        self._depth = depth
        self._reading = self._ended = self._aborted = self._cancelled = False
        self._error: BaseException | None = None
        self._num_read = self._num_yielded = self._num_in_flight = 0
        self._pending: list[tuple[int, T]] = []
        self._results: dict[int, R] = {}
        self._condition = threading.Condition()

    def cancel(self) -> None:
        """End all waits at once."""
        with self._condition:
            self._cancelled = True
            self._condition.notify_all()

    def serve(
        self, number: int, work: Callable[[T], R], on_failure: Callable[[int, StreamcamError], None] | None = None
    ) -> None:
        """Process items in the calling thread.

        Returns when the items end, the worker fails, or the pool is cancelled.

        Args:
            number: the worker's number.
            work: the worker, a function of an item.
            on_failure: called with the number and the error, if others go on.
        """
        try:
            while (next_item := self._next_item(number)) is not None:
                index, item = next_item
                try:
                    result = work(item)
                except StreamcamError as error:
                    if self._requeue(number, index, item, error) and on_failure is not None:
                        on_failure(number, error)
                    return
                self._store_result(index, result)
        except Cancelled:
            self.cancel()
        except BaseException as error:
            self._abort(error)

    def _next_item(self, number: int) -> tuple[int, T] | None:
        """Return the next item with its index: a requeued one or a new one; None at the end."""
        while True:
            with self._condition:
                while True:
                    if self._cancelled:
                        raise Cancelled
                    if (
                        self._aborted
                        or number in self._failed_workers
                        or (self._ended and not self._num_in_flight and not self._pending)
                    ):
                        return None
                    if self._pending:
                        self._num_in_flight += 1
                        return heapq.heappop(self._pending)
                    if not (self._ended or self._reading) and self._num_read - self._num_yielded < self._depth:
                        self._reading = True
                        break
                    self._condition.wait()
            self._read_one()

    def _read_one(self) -> None:
        """Read one item into the pending ones."""
        item: Any = _END
        try:
            item = next(self._items, _END)
        except Cancelled:
            raise
        except BaseException as error:
            self._error = self._error or error
        with self._condition:
            self._reading = False
            if item is _END:
                self._ended = True
            elif not self._ended:
                heapq.heappush(self._pending, (self._num_read, item))
                self._num_read += 1
            self._condition.notify_all()

    def _requeue(self, number: int, index: int, item: T, error: StreamcamError) -> bool:
        """Leave an item to the other workers; True on this worker's first failure, if others remain."""
        with self._condition:
            first = number not in self._failed_workers
            self._failed_workers.add(number)
            self._num_in_flight -= 1
            self._condition.notify_all()
            if len(self._failed_workers) < self._workers:
                heapq.heappush(self._pending, (index, item))
                return first
            # Drop pending items: results finished in order are still delivered, then the error.
            self._error, self._ended = self._error or error, True
            self._pending.clear()
            return False

    def _store_result(self, index: int, result: R) -> None:
        with self._condition:
            self._num_in_flight -= 1
            self._results[index] = result
            self._condition.notify_all()

    def _abort(self, error: BaseException) -> None:
        with self._condition:
            self._error, self._ended, self._aborted = error, True, True
            self._condition.notify_all()

    def __iter__(self) -> Iterator[R]:
        while True:
            with self._condition:
                while not (self._num_yielded in self._results or self._is_finished or self._cancelled):
                    self._condition.wait()
                if self._cancelled:
                    raise Cancelled
                if self._num_yielded not in self._results:
                    if self._error is not None:
                        raise self._error
                    return
                result = self._results.pop(self._num_yielded)
                self._num_yielded += 1
                self._condition.notify_all()
            yield result

    @property
    def _is_finished(self) -> bool:
        return self._aborted or (self._ended and not (self._num_in_flight or self._pending))
