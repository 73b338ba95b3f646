"""The nine endings of a threaded loop, each with: no hang, no thread left, order kept, the first error unchanged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Self

import pytest

from streamcam.concurrency.group import BackgroundOpen, Channel, StageGroup
from streamcam.errors import SourceError


class Broken(Exception):
    pass


@pytest.fixture(autouse=True)
def _check_no_thread_remains() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def double(items: Iterator[int]) -> Iterator[int]:
    for item in items:
        yield 2 * item


def test_normal_end_keeps_order_and_everything() -> None:
    with StageGroup() as group:
        first = group.prefetch(range(1000), depth=3)
        second = group.prefetch(double(first), depth=3)
        assert list(second) == [2 * n for n in range(1000)]


def test_empty_source() -> None:
    with StageGroup() as group:
        assert list(group.prefetch(double(group.prefetch([], depth=1)), depth=1)) == []


def test_slow_source_is_waited_for() -> None:
    ticks = threading.Semaphore(0)

    def slow() -> Iterator[int]:
        for n in range(5):
            ticks.acquire()
            yield n

    with StageGroup() as group:
        stream = group.prefetch(slow(), depth=2)
        seen = []
        for _ in range(5):
            ticks.release()
            seen.append(next(stream))
        assert seen == list(range(5))
        with pytest.raises(StopIteration):
            next(stream)


def test_error_in_source_rises_after_what_was_good() -> None:
    error = Broken("source")

    def source() -> Iterator[int]:
        yield from range(3)
        raise error

    seen = []
    with pytest.raises(Broken) as caught, StageGroup() as group:
        seen.extend(group.prefetch(double(group.prefetch(source(), depth=10)), depth=10))
    assert caught.value is error
    assert seen == [0, 2, 4]


def test_error_in_model_stops_an_endless_source() -> None:
    error = Broken("model")
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            closed.set()

    def model(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 5:
                raise error
            yield item

    seen = []
    with pytest.raises(Broken) as caught, StageGroup() as group:
        seen.extend(group.prefetch(model(group.prefetch(endless(), depth=2)), depth=2))
    assert caught.value is error
    assert seen == [0, 1, 2, 3, 4]
    assert closed.is_set()


def test_error_in_sink_closes_the_source_in_its_own_thread() -> None:
    error = Broken("sink")
    closed_in: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread().name)

    with pytest.raises(Broken) as caught, StageGroup() as group:
        for _ in group.prefetch(endless(), depth=2, name="decode"):
            raise error
    assert caught.value is error
    assert closed_in == ["streamcam-decode"]


def test_cancel_while_the_producer_waits_for_room() -> None:
    produced = threading.Semaphore(0)

    def source() -> Iterator[int]:
        while True:
            produced.release()
            yield 0

    with StageGroup() as group:
        group.prefetch(source(), depth=1)
        assert produced.acquire(timeout=10)
        assert produced.acquire(timeout=10)


def test_cancel_during_a_stalled_read_leaves_without_it() -> None:
    reached, unstall = threading.Event(), threading.Event()

    def stall() -> Iterator[int]:
        yield 0
        reached.set()
        unstall.wait()

    with StageGroup(shutdown_timeout_seconds=0.05) as group:
        stream = group.prefetch(stall(), depth=1, name="decode")
        assert next(stream) == 0
        assert reached.wait(10)
        stuck = next(thread for thread in threading.enumerate() if thread.name == "streamcam-decode")
    assert group.abandoned_threads == ("streamcam-decode",)
    unstall.set()
    stuck.join(10)
    assert not stuck.is_alive()


def test_what_cannot_even_be_iterated_over_is_an_error_of_the_consumer() -> None:
    class Unwilling:
        def __iter__(self) -> Iterator[int]:
            raise Broken("iter")

    class Unclosable:
        def __iter__(self) -> Iterator[int]:
            return self  # type: ignore[return-value]

        def __next__(self) -> int:
            raise StopIteration

        def close(self) -> None:
            raise Broken("close")

    for items in (Unwilling(), Unclosable()):
        with pytest.raises(Broken), StageGroup() as group:
            list(group.prefetch(items, depth=1))


def test_live_overload_keeps_the_newest_and_counts_the_rest() -> None:
    produced = threading.Event()

    def camera() -> Iterator[int]:
        yield from range(100)
        produced.set()

    with StageGroup() as group:
        stream = group.prefetch(camera(), depth=2, live=True)
        assert produced.wait(10)
        assert list(stream) == [98, 99]


def test_live_channel_counts_drops() -> None:
    channel: Channel[int] = Channel(2, live=True)
    for n in range(10):
        channel.put(n)
    channel.close()
    assert channel.dropped == 8
    assert list(channel) == [8, 9]


def test_files_are_never_dropped_and_stay_bounded() -> None:
    waiting = 0
    most = 0
    lock = threading.Lock()

    def source() -> Iterator[int]:
        nonlocal waiting, most
        for n in range(200):
            with lock:
                waiting += 1
                most = max(most, waiting)
            yield n

    with StageGroup() as group:
        for _ in group.prefetch(source(), depth=4):
            with lock:
                waiting -= 1
    assert most <= 4 + 2  # waiting in the channel, one in each hand


def test_keyboard_interrupt_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt), StageGroup() as group:
        for _ in group.prefetch(iter(int, 1), depth=1):
            raise KeyboardInterrupt


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Channel(0)


class Thing:
    """Something that is opened and closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()


def test_other_work_is_done_while_something_opens() -> None:
    worked = threading.Event()
    thing = Thing()

    def slow() -> Thing:
        assert worked.wait(20)
        return thing

    with BackgroundOpen(slow) as background:
        assert not background.wait(timeout_seconds=0)
        worked.set()
        assert background.result() is thing
        assert background.wait(timeout_seconds=0)
        assert not thing.closed.is_set()
    assert thing.closed.is_set()


def test_what_cannot_be_opened_says_so_to_who_asks() -> None:
    error = SourceError("gone")

    def fails() -> Thing:
        raise error

    with BackgroundOpen(fails) as background, pytest.raises(SourceError) as caught:
        background.result()
    assert caught.value is error


def test_a_result_that_is_no_longer_wanted_is_closed_without_waiting() -> None:
    left = threading.Event()
    thing = Thing()

    def wait_forever() -> Thing:
        assert left.wait(20)
        return thing

    with pytest.raises(KeyboardInterrupt), BackgroundOpen(wait_forever):
        raise KeyboardInterrupt
    left.set()
    assert thing.closed.wait(20)
    for thread in threading.enumerate():
        if thread.name == "streamcam-opening":
            thread.join(20)


def test_a_consumer_that_waits_can_give_up():
    silent = threading.Event()

    def give_up():
        raise TimeoutError("too long")

    def produce():
        yield 1
        silent.wait(60)

    with StageGroup() as group:
        items = group.prefetch(produce(), depth=1, on_wait=give_up)
        assert next(items) == 1
        with pytest.raises(TimeoutError, match="too long"):
            next(items)
        silent.set()
    assert group.abandoned_threads == ()
