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
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from .channels import Cancelled, Channel, Table
from .errors import StreamcamError
from .frames import Batch, Frame

__all__ = ["Cancelled", "Channel", "Flow", "Opening", "StageClock", "batched"]

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=AbstractContextManager[Any])
_END = object()


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
        self._lock = threading.Lock()
        self._stages: list[tuple[threading.Thread, Channel[Any] | Table[Any, Any] | _Stop, float]] = []

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

    def alongside(
        self, work: Callable[[], None], *, stop: Callable[[], None], name: str = "stage", patience: float = 0.0
    ) -> None:
        """Runs ``work`` in a thread of its own for as long as it lasts.

        Args:
            work: hands on what it makes by itself, and tells of its errors likewise; `Cancelled` ends it silently.
            stop: makes it return soon and does not wait; called once, when the flow ends, from another thread.
            name: of the thread.
            patience: seconds to wait for it at the end, where that is longer than the flow's.

        Raises:
            Cancelled: the flow has ended.
        """
        self._start(functools.partial(_until_cancelled, work), _Stop(stop), name, patience)

    def deal(
        self,
        items: Iterable[T],
        workers: Sequence[Callable[[T], R]],
        *,
        depth: int,
        threads: int = 1,
        name: str = "stage",
        failed: Callable[[int, StreamcamError], None] = lambda worker, error: None,
    ) -> Iterator[R]:
        """Hands ``items`` to whichever worker is free, each in threads of its own, and keeps their order.

        A worker that fails is not used again: what it had goes to the others. Only the last one's error rises.

        Args:
            items: read by one thread at a time, not always the same.
            workers: what is done with an item.
            depth: how many items may be under way or done, and not yet taken, beside one for each thread.
            threads: for each worker, which then is called from several at a time.
            name: of the threads.
            failed: called once with a worker's number and its error, where others go on; in a thread of that worker.

        Returns:
            An iterator for one consumer. What was finished in order comes before an error.
        """
        table: Table[T, R] = Table(items, len(workers), depth + threads * len(workers))
        for thread in range(threads):
            for number, work in enumerate(workers):
                self._start(functools.partial(table.serve, number, work, failed), table, f"{name}-{number}-{thread}")
        return iter(table)

    def _start(
        self,
        target: Callable[[], None],
        between: Channel[Any] | Table[Any, Any] | _Stop,
        name: str,
        patience: float = 0.0,
    ) -> None:
        thread = threading.Thread(target=target, name=f"streamcam-{name}", daemon=True)
        with self._lock:
            if self._ended:
                raise Cancelled
            self._stages.append((thread, between, max(patience, self._patience)))
            thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
        for _, between, _ in self._stages:
            between.cancel()
        since = time.monotonic()
        for thread, _, patience in self._stages:
            thread.join(max(0.0, since + patience - time.monotonic()))
        self.abandoned = tuple(thread.name for thread, _, _ in self._stages if thread.is_alive())
        self._stages.clear()


class Opening(Generic[S]):
    """Opens something in a thread of its own, so that other work can be done meanwhile, and closes it in the end.

        with Opening(lambda: open_source(options)) as opening:
            if not opening.done(within=0.5):
                ...  # other work
            source = opening.result()

    Where the block is left while the opening is still under way, nobody waits for it: its thread closes what it opens.

    Args:
        opened: opens it; what it raises rises from `result`.
    """

    def __init__(self, opened: Callable[[], S]) -> None:
        self._opened = opened
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._open, name="streamcam-opening", daemon=True)
        self._lock = threading.Lock()
        self._left = False
        self._error: BaseException | None = None
        self._held: S | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _open(self) -> None:
        try:
            held = self._opened()
            held.__enter__()
            with self._lock:
                self._held = held
                if self._left:
                    held.__exit__(None, None, None)
        except BaseException as error:
            self._error = error
        self._finished.set()

    def done(self, within: float) -> bool:
        """Whether it is open, or has failed, after so many seconds at the most."""
        return self._finished.wait(within)

    def result(self) -> S:
        """What was opened; waits for it."""
        self._finished.wait()
        if self._error is not None:
            raise self._error
        assert self._held is not None
        return self._held

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._left = True
            held = self._held
        if self._finished.is_set():
            self._thread.join()
        if held is not None:
            held.__exit__(kind, error, trace)


class _Stop:
    """What ends a stage that has no channel."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


def _until_cancelled(work: Callable[[], None]) -> None:
    with contextlib.suppress(Cancelled):
        work()


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
