"""Threads of a pipeline: the only place where one starts and where one ends.

    with Flow() as flow:
        decoded = flow.ahead(source, depth=32)
        explained = flow.ahead(explain(decoded), depth=32)
        for item in explained:
            ...

`Flow.ahead` runs an iterable in a thread of its own, a bounded number of items ahead of whoever iterates
over the result. Order is kept. An error ends the stage it rises in; what was produced before it is still
delivered, then the same exception object rises in the consumer, stage by stage, up to the caller.
Leaving the ``with`` block, for whatever reason, cancels every stage and waits for its thread.

`Flow.deal` is the same for several workers that share one stage's work.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from .errors import StreamcamError
from .frames import Batch, Frame

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
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Appends an item, waiting for room unless live.

        Raises:
            Cancelled: the flow has ended.
        """
        with self._changed:
            while len(self._items) >= self._depth and not self._cancelled:
                if self._live:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._cancelled:
                raise Cancelled
            self._items.append(item)
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """Says that no more items follow; ``error`` rises in the consumer after the last one."""
        with self._changed:
            self._closed = True
            self._error = error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Releases both sides at once; waiting items are let go."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not (self._items or self._closed or self._cancelled):
                    self._changed.wait()
                if self._cancelled:
                    raise Cancelled
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Table(Generic[T, R]):
    """Where several workers take items from, and lay down what they made of them, in the items' order.

    Args:
        items: read by one worker at a time.
        workers: how many there are.
        depth: how many items may be under way or done, and not yet taken.
    """

    def __init__(self, items: Iterable[T], workers: int, depth: int) -> None:
        self._items = iter(items)
        self._workers = workers
        self._depth = max(depth, workers)
        self._reading = self._ended = self._broken = self._cancelled = False
        self._error: BaseException | None = None
        self._read = self._given = self._under_way = 0
        self._returned: list[tuple[int, T]] = []
        self._done: dict[int, R] = {}
        self._changed = threading.Condition()

    def cancel(self) -> None:
        """Releases everybody at once."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def serve(self, number: int, work: Callable[[T], R], failed: Callable[[int, StreamcamError], None]) -> None:
        """One worker's life: until the items end, it fails, or all is cancelled."""
        try:
            while (taken := self._take()) is not None:
                index, item = taken
                try:
                    result = work(item)
                except StreamcamError as error:
                    if self._give_back(index, item, error):
                        failed(number, error)
                    return
                self._lay_down(index, result)
        except Cancelled:
            self.cancel()
        except BaseException as error:
            self._break(error)

    def _take(self) -> tuple[int, T] | None:
        """The next item with its number: one that was given back, or one that is read; None when there is no more."""
        with self._changed:
            while True:
                if self._cancelled:
                    raise Cancelled
                if self._returned:
                    self._under_way += 1
                    return heapq.heappop(self._returned)
                if self._broken or (self._ended and not self._under_way):
                    return None
                if not (self._ended or self._reading) and self._read - self._given < self._depth:
                    self._reading = True
                    break
                self._changed.wait()
        item: Any = _END
        try:
            item = next(self._items, _END)
        except Cancelled:
            raise
        except BaseException as error:
            self._error = error
        with self._changed:
            self._reading, self._ended = False, item is _END
            self._changed.notify_all()
            if not self._ended:
                self._read += 1
                self._under_way += 1
                return self._read - 1, item
        return self._take()

    def _give_back(self, index: int, item: T, error: StreamcamError) -> bool:
        """Leaves an item to the others; False where there are none."""
        with self._changed:
            self._under_way -= 1
            self._workers -= 1
            self._changed.notify_all()
            if not self._workers:
                self._error, self._ended = error, True
                self._returned.clear()
                return False
            heapq.heappush(self._returned, (index, item))
            return True

    def _lay_down(self, index: int, result: R) -> None:
        with self._changed:
            self._under_way -= 1
            self._done[index] = result
            self._changed.notify_all()

    def _break(self, error: BaseException) -> None:
        with self._changed:
            self._error, self._ended, self._broken = error, True, True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[R]:
        while True:
            with self._changed:
                while not (self._given in self._done or self._over or self._cancelled):
                    self._changed.wait()
                if self._cancelled:
                    raise Cancelled
                if self._given not in self._done:
                    if self._error is not None:
                        raise self._error
                    return
                result = self._done.pop(self._given)
                self._given += 1
                self._changed.notify_all()
            yield result

    @property
    def _over(self) -> bool:
        return self._broken or (self._ended and not (self._under_way or self._returned))


class Flow:
    """Owns the threads of one pipeline and ends them with its ``with`` block.

    Args:
        patience: seconds to wait at the end for a stage that is stuck in a call nobody can interrupt (a stalled
            read). After that its daemon thread is left behind and named in `abandoned`.
    """

    def __init__(self, patience: float = 5.0) -> None:
        self.abandoned: tuple[str, ...] = ()
        self._patience = patience
        self._ended = False
        self._stages: list[tuple[threading.Thread, Channel[Any] | Table[Any, Any]]] = []

    def check(self) -> None:
        """To be called now and then by a stage that computes for long between two items.

        Raises:
            Cancelled: the flow has ended.
        """
        if self._ended:
            raise Cancelled

    def __enter__(self) -> Self:
        return self

    def ahead(self, items: Iterable[T], *, depth: int, live: bool = False, name: str = "stage") -> Iterator[T]:
        """Iterates over ``items`` in a thread of its own, up to ``depth`` items ahead.

        Args:
            items: consumed by the new thread only; a generator is closed there too, so its ``finally`` clauses
                run in the thread that runs it.
            depth: how many items may wait for the consumer.
            live: drop the oldest waiting item instead of making ``items`` wait.
            name: of the thread.

        Returns:
            An iterator for one consumer. It re-raises the first error of the stages before it, unchanged.
        """
        channel: Channel[T] = Channel(depth, live=live)
        self._start(functools.partial(_feed, items, channel), channel, name)
        return iter(channel)

    def deal(
        self,
        items: Iterable[T],
        workers: Sequence[Callable[[T], R]],
        *,
        depth: int,
        name: str = "stage",
        failed: Callable[[int, StreamcamError], None] = lambda worker, error: None,
    ) -> Iterator[R]:
        """Hands ``items`` to whichever worker is free, each in a thread of its own, and keeps their order.

        A worker that fails is not used again: what it had goes to the others. Only the last one's error rises.

        Args:
            items: read by one thread at a time, not always the same.
            workers: what is done with an item.
            depth: how many items may be under way or done, and not yet taken.
            name: of the threads.
            failed: called with a worker's number and its error, where others go on; in that worker's thread.

        Returns:
            An iterator for one consumer. What was finished in order comes before an error.
        """
        table: Table[T, R] = Table(items, len(workers), depth)
        for number, work in enumerate(workers):
            self._start(functools.partial(table.serve, number, work, failed), table, f"{name}-{number}")
        return iter(table)

    def _start(self, target: Callable[[], None], between: Channel[Any] | Table[Any, Any], name: str) -> None:
        thread = threading.Thread(target=target, name=f"streamcam-{name}", daemon=True)
        self._stages.append((thread, between))
        thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        for _, between in self._stages:
            between.cancel()
        deadline = time.monotonic() + self._patience
        for thread, _ in self._stages:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.abandoned = tuple(thread.name for thread, _ in self._stages if thread.is_alive())
        self._stages.clear()


def _feed(items: Iterable[T], channel: Channel[T]) -> None:
    try:
        iterator = iter(items)
        try:
            for item in iterator:
                channel.put(item)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
    except Cancelled:
        channel.cancel()
    except BaseException as error:
        channel.close(error)
    else:
        channel.close()


class StageClock:
    """Seconds each stage of a pipeline was busy; a stage of several threads counts each of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the time its block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Passes items on, adding the time it takes to produce them to a stage."""
        iterator = iter(items)
        while True:
            with self(stage):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]


def batched(frames: Iterable[Frame], size: int, *, longest: int) -> Iterator[Batch]:
    """Groups frames so that each batch has at most ``size`` frames with pixels and ``longest`` frames in all.

    When the source breaks, what was read before still goes on, then the error rises.
    """
    batch: list[Frame] = []
    looked_at = 0
    try:
        for frame in frames:
            if batch and (looked_at + (frame.pixels is not None) > size or len(batch) == longest):
                yield tuple(batch)
                batch, looked_at = [], 0
            batch.append(frame)
            looked_at += frame.pixels is not None
    except Exception:
        if batch:
            yield tuple(batch)
        raise
    if batch:
        yield tuple(batch)
