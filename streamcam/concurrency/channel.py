"""What lies between the threads of a pipeline: queues, and tables that several workers share."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import StreamcamError

T = TypeVar("T")
R = TypeVar("R")
_END = object()


class Cancelled(BaseException):
    """Rises in a stage's thread when its flow ends early, and in whoever reads on after its end.

    Not an `Exception`, so that no ``except Exception`` on the way can mistake it for a failure.
    """


class Channel(Generic[T]):
    """A bounded queue between one producing and one consuming thread.

    Args:
        depth: how many items may wait, at least 1.
        live: when full, `put` drops the oldest waiting item and counts it in `dropped` instead of waiting.
    """

    def __init__(self, depth: int, *, live: bool = False) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.dropped = 0
        self._depth = depth
        self._live = live
        self._items: deque[T] = deque()
        self._closed = False
        self._cancelled = False
        self._error: BaseException | None = None
        self._condition = threading.Condition()

    def put(self, item: T) -> None:
        """Appends an item, waiting for room unless live.

        Raises:
            Cancelled: the flow has ended.
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
        """Says that no more items follow; ``error`` rises in the consumer after the last one."""
        with self._condition:
            self._closed = True
            self._error = error
            self._condition.notify_all()

    def cancel(self) -> None:
        """Releases both sides at once; waiting items are let go."""
        with self._condition:
            self._cancelled = True
            self._items.clear()
            self._condition.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._condition:
                while not (self._items or self._closed or self._cancelled):
                    self._condition.wait()
                if self._cancelled:
                    raise Cancelled
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._condition.notify_all()
            yield item


class OrderedPool(Generic[T, R]):
    """Where several workers take items from, and lay down what they made of them, in the items' order.

    A worker may serve in several threads. Once it has failed in one of them it takes nothing more in any.

    Args:
        items: read by one thread at a time.
        workers: how many there are.
        depth: how many items may be under way or done, and not yet taken.
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
        """Releases everybody at once."""
        with self._condition:
            self._cancelled = True
            self._condition.notify_all()

    def serve(self, number: int, work: Callable[[T], R], on_failure: Callable[[int, StreamcamError], None]) -> None:
        """A thread's life in a worker's service: until the items end, the worker fails, or all is cancelled."""
        try:
            while (next_item := self._next_item(number)) is not None:
                index, item = next_item
                try:
                    result = work(item)
                except StreamcamError as error:
                    if self._requeue(number, index, item, error):
                        on_failure(number, error)
                    return
                self._store_result(index, result)
        except Cancelled:
            self.cancel()
        except BaseException as error:
            self._abort(error)

    def _next_item(self, number: int) -> tuple[int, T] | None:
        """The next item with its place: one that was given back, or one that is read; None when there is no more."""
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
        """Reads an item to where it can be taken."""
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
        """Leaves an item to the others; True where there are others, and this is the worker's first failure."""
        with self._condition:
            first = number not in self._failed_workers
            self._failed_workers.add(number)
            self._num_in_flight -= 1
            self._condition.notify_all()
            if len(self._failed_workers) < self._workers:
                heapq.heappush(self._pending, (index, item))
                return first
            # What others have read by now is nobody's: what was finished in order still goes on, then the error.
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
