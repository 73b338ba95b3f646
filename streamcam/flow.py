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
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from .frames import Batch, Frame

T = TypeVar("T")
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
        self._stages: list[tuple[threading.Thread, Channel[object]]] = []

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
        thread = threading.Thread(target=_feed, args=(items, channel), name=f"streamcam-{name}", daemon=True)
        self._stages.append((thread, channel))  # type: ignore[arg-type]
        thread.start()
        return iter(channel)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        for _, channel in self._stages:
            channel.cancel()
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
    """Seconds each stage of a pipeline was busy. Each stage is timed by one thread, so no lock is needed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the time its block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
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
