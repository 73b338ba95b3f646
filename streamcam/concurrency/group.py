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

from ..errors import StreamcamError
from ..frames import Batch, Frame
from .channel import Cancelled, Channel, OrderedPool

__all__ = ["BackgroundOpen", "Cancelled", "Channel", "StageGroup", "StageTimer", "batched"]

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=AbstractContextManager[Any])
_END = object()


class StageGroup:
    """Owns the threads of one pipeline and ends them with its ``with`` block.

    Args:
        shutdown_timeout_seconds: seconds to wait at the end for a stage that is stuck in a call nobody can interrupt (a stalled
            read). After that its daemon thread is left behind and named in `abandoned_threads`.
    """

    def __init__(self, shutdown_timeout_seconds: float = 5.0) -> None:
        self.abandoned_threads: tuple[str, ...] = ()
        self._shutdown_timeout_seconds = shutdown_timeout_seconds
        self._ended = False
        self._lock = threading.Lock()
        self._stages: list[tuple[threading.Thread, Channel[Any] | OrderedPool[Any, Any] | _Stop, float]] = []

    def raise_if_cancelled(self) -> None:
        """To be called now and then by a stage that computes for long between two items.

        Raises:
            Cancelled: the flow has ended.
        """
        if self._ended:
            raise Cancelled

    def __enter__(self) -> Self:
        return self

    def prefetch(self, items: Iterable[T], *, depth: int, live: bool = False, name: str = "stage") -> Iterator[T]:
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
        self._start(functools.partial(_produce, items, channel), channel, name)
        return iter(channel)

    def spawn(
        self,
        work: Callable[[], None],
        *,
        stop: Callable[[], None],
        name: str = "stage",
        shutdown_timeout_seconds: float = 0.0,
    ) -> None:
        """Runs ``work`` in a thread of its own for as long as it lasts.

        Args:
            work: hands on what it makes by itself, and tells of its errors likewise; `Cancelled` ends it silently.
            stop: makes it return soon and does not wait; called once, when the flow ends, from another thread.
            name: of the thread.
            shutdown_timeout_seconds: seconds to wait for it at the end, where that is longer than the flow's.

        Raises:
            Cancelled: the flow has ended.
        """
        self._start(functools.partial(_run_until_cancelled, work), _Stop(stop), name, shutdown_timeout_seconds)

    def map_ordered(
        self,
        items: Iterable[T],
        workers: Sequence[Callable[[T], R]],
        *,
        depth: int,
        threads: int = 1,
        name: str = "stage",
        on_failure: Callable[[int, StreamcamError], None] = lambda worker, error: None,
    ) -> Iterator[R]:
        """Hands ``items`` to whichever worker is free, each in threads of its own, and keeps their order.

        A worker that fails is not used again: what it had goes to the others. Only the last one's error rises.

        Args:
            items: read by one thread at a time, not always the same.
            workers: what is done with an item.
            depth: how many items may be under way or done, and not yet taken, beside one for each thread.
            threads: for each worker, which then is called from several at a time.
            name: of the threads.
            on_failure: called once with a worker's number and its error, where others go on; in a thread of that worker.

        Returns:
            An iterator for one consumer. What was finished in order comes before an error.
        """
        pool: OrderedPool[T, R] = OrderedPool(items, len(workers), depth + threads * len(workers))
        for thread in range(threads):
            for number, work in enumerate(workers):
                self._start(functools.partial(pool.serve, number, work, on_failure), pool, f"{name}-{number}-{thread}")
        return iter(pool)

    def _start(
        self,
        target: Callable[[], None],
        cancellable: Channel[Any] | OrderedPool[Any, Any] | _Stop,
        name: str,
        shutdown_timeout_seconds: float = 0.0,
    ) -> None:
        thread = threading.Thread(target=target, name=f"streamcam-{name}", daemon=True)
        with self._lock:
            if self._ended:
                raise Cancelled
            self._stages.append((thread, cancellable, max(shutdown_timeout_seconds, self._shutdown_timeout_seconds)))
            thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
        for _, cancellable, _ in self._stages:
            cancellable.cancel()
        start = time.monotonic()
        for thread, _, shutdown_timeout_seconds in self._stages:
            thread.join(max(0.0, start + shutdown_timeout_seconds - time.monotonic()))
        self.abandoned_threads = tuple(thread.name for thread, _, _ in self._stages if thread.is_alive())
        self._stages.clear()


class BackgroundOpen(Generic[S]):
    """Opens something in a thread of its own, so that other work can be done meanwhile, and closes it in the end.

        with Opening(lambda: open_source(options)) as opening:
            if not opening.done(within=0.5):
                ...  # other work
            source = opening.result()

    Where the block is left while the opening is still under way, nobody waits for it: its thread closes what it opens.

    Args:
        opener: opens it; what it raises rises from `result`.
    """

    def __init__(self, opener: Callable[[], S]) -> None:
        self._opener = opener
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._open, name="streamcam-opening", daemon=True)
        self._lock = threading.Lock()
        self._exited = False
        self._error: BaseException | None = None
        self._resource: S | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _open(self) -> None:
        try:
            resource = self._opener()
            resource.__enter__()
            with self._lock:
                self._resource = resource
                if self._exited:
                    resource.__exit__(None, None, None)
        except BaseException as error:
            self._error = error
        self._finished.set()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it is open, or has failed, after so many seconds at the most."""
        return self._finished.wait(timeout_seconds)

    def result(self) -> S:
        """What was opened; waits for it."""
        self._finished.wait()
        if self._error is not None:
            raise self._error
        assert self._resource is not None
        return self._resource

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._exited = True
            resource = self._resource
        if self._finished.is_set():
            self._thread.join()
        if resource is not None:
            resource.__exit__(kind, error, trace)


class _Stop:
    """What ends a stage that has no channel."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


def _run_until_cancelled(work: Callable[[], None]) -> None:
    with contextlib.suppress(Cancelled):
        work()


def _produce(items: Iterable[T], channel: Channel[T]) -> None:
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


class StageTimer:
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

    def measure(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Passes items on, adding the time it takes to produce them to a stage."""
        iterator = iter(items)
        while True:
            with self(stage):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]


def batched(frames: Iterable[Frame], size: int, *, max_length: int) -> Iterator[Batch]:
    """Groups frames so that each batch has at most ``size`` frames with pixels and ``max_length`` frames in all.

    When the source breaks, what was read before still goes on, then the error rises.
    """
    batch: list[Frame] = []
    num_inputs = 0
    try:
        for frame in frames:
            if batch and (num_inputs + (frame.model_input is not None) > size or len(batch) == max_length):
                yield tuple(batch)
                batch, num_inputs = [], 0
            batch.append(frame)
            num_inputs += frame.model_input is not None
    except Exception:
        if batch:
            yield tuple(batch)
        raise
    if batch:
        yield tuple(batch)
