"""Threads of a pipeline: the only place that starts and ends them.

    with StageGroup() as group:
        decoded = group.prefetch(source, depth=32)
        explained = group.prefetch(explain(decoded), depth=32)
        for item in explained:
            ...

`StageGroup.prefetch` runs an iterable in its own thread, a bounded number of items ahead of the consumer. Order
is kept. An error ends its stage; items produced before it are still delivered, then the same exception object is
raised in the consumer, stage by stage, up to the caller. Leaving the ``with`` block cancels every stage and waits for
its thread.

`StageGroup.map_ordered` does the same for several workers that share one stage's work.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..errors import StreamcamError
from .channel import Cancelled, Channel
from .ordered_pool import OrderedPool

__all__ = ["BackgroundOpen", "Cancelled", "Channel", "StageGroup", "StageTimer"]

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=AbstractContextManager[Any])
_END = object()


class StageGroup:
    """Own the threads of one pipeline; the ``with`` block ends them.

    Args:
        shutdown_timeout_seconds: seconds to wait at the end for a stage that is stuck in an uninterruptible call (a
            stalled read). After that its daemon thread is abandoned and named in `abandoned_threads`.
    """

    def __init__(self, shutdown_timeout_seconds: float = 5.0) -> None:
        self.abandoned_threads: tuple[str, ...] = ()
        self._shutdown_timeout_seconds = shutdown_timeout_seconds
        self._ended = False
        self._lock = threading.Lock()
        self._stages: list[tuple[threading.Thread, Channel[Any] | OrderedPool[Any, Any] | _Stop, float]] = []

    def raise_if_cancelled(self) -> None:
        """Raise if the group has ended; for a stage with long work between items.

        Raises:
            Cancelled: the group has ended.
        """
        if self._ended:
            raise Cancelled

    def __enter__(self) -> Self:
        return self

    def prefetch(
        self,
        items: Iterable[T],
        *,
        depth: int,
        live: bool = False,
        name: str = "stage",
        on_wait: Callable[[], None] | None = None,
    ) -> Iterator[T]:
        """Iterate over ``items`` in a new thread, up to ``depth`` ahead.

        Args:
            items: consumed by the new thread only; a generator is also closed there, so its ``finally`` clauses
                run in the thread that runs it.
            depth: number of items that may wait for the consumer; 0 starts no thread, and the consumer does the work.
            live: drop the oldest waiting item instead of making ``items`` wait.
            name: name of the thread.
            on_wait: called every 0.1 s while the consumer waits, in its thread; its errors are the consumer's.

        Returns:
            An iterator for one consumer. It re-raises the first error of the stages before it, unchanged.
        """
        if depth == 0:
            return iter(items)
        channel: Channel[T] = Channel(depth, live=live, on_wait=on_wait)
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
        """Run ``work`` in a new thread.

        Args:
            work: delivers its results and reports its errors itself; `Cancelled` ends it silently.
            stop: makes it return soon and does not wait; called once, when the group ends, from another thread.
            name: name of the thread.
            shutdown_timeout_seconds: seconds to wait for it at the end, if that is longer than the group's.

        Raises:
            Cancelled: the group has ended.
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
        on_failure: Callable[[int, StreamcamError], None] | None = None,
    ) -> Iterator[R]:
        """Map ``items`` with several workers, and keep their order.

        Each worker has its own threads; the first free one takes the next item. A worker that fails is not used
        again: the others take its items. Only the last worker's error is raised.

        Args:
            items: read by one thread at a time, not always the same.
            workers: functions of an item.
            depth: number of items that may be in progress or done and not yet taken, beside one for each thread.
            threads: threads for each worker, which is then called from several at a time.
            name: name of the threads.
            on_failure: called once with a worker's number and its error, if others go on; in a thread of that worker.

        Returns:
            An iterator for one consumer. Items finished in order come before an error.
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
        run = contextvars.copy_context().run  # the thread's notes belong to the caller's run
        thread = threading.Thread(target=run, args=(target,), name=f"streamcam-{name}", daemon=True)
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
    """Open a resource in its own thread; close it at the end.

        with BackgroundOpen(lambda: open_source(options)) as opening:
            if not opening.wait(0.5):
                ...  # other work
            source = opening.result()

    If the block ends before the resource is open, the block does not wait: the thread closes the resource.

    Args:
        opener: opens the resource; `result` raises its error.
    """

    def __init__(self, opener: Callable[[], S]) -> None:
        self._opener = opener
        self._finished = threading.Event()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._open,), name="streamcam-opening", daemon=True)
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
        """Wait until it is open or has failed; return False on timeout."""
        return self._finished.wait(timeout_seconds)

    def result(self) -> S:
        """Wait for the opened resource and return it."""
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
    """Ends a stage that has no channel."""

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
    """Count the seconds each stage was busy; a stage of several threads counts each of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time its block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def measure(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; add their production time to a stage."""
        iterator = iter(items)
        while True:
            with self(stage):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]
