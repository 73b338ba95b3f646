"""Several workers on one stage: order, failures, ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from streamcam.concurrency.group import Cancelled, StageGroup
from streamcam.errors import DeviceError, SourceError


def test_what_was_slow_comes_out_in_its_place() -> None:
    """The first worker is let go on only once the second one has done all the rest."""
    others_done = threading.Event()
    held: list[int] = []

    def slow(item: int) -> tuple[str, int]:
        held.append(item)
        assert others_done.wait(20)
        return "slow", item

    def fast(item: int) -> tuple[str, int]:
        if item == 9:
            others_done.set()
        return "fast", item

    def items() -> Iterator[int]:
        yield 0
        yield from range(1, 10)

    with StageGroup() as flow:
        out = list(flow.map_ordered(items(), (slow, fast), depth=10))
    assert [item for _, item in out] == list(range(10))
    assert len(held) <= 2
    assert {who for who, _ in out} == {"slow", "fast"}


@pytest.mark.parametrize("failing_at", [0, 4, 9])
def test_a_worker_that_fails_loses_nothing(failing_at: int) -> None:
    failures: list[tuple[int, str]] = []

    def bad(item: int) -> int:
        if item >= failing_at:
            raise DeviceError("broken")
        return item

    with StageGroup() as flow:
        dealt = flow.map_ordered(
            range(10), (bad, lambda item: item), depth=3, on_failure=lambda who, why: failures.append((who, str(why)))
        )
        assert list(dealt) == list(range(10))
    assert failures in ([(0, "broken")], [])  # the other one may have been quick enough to leave nothing to fail on


def test_the_last_item_fails_while_the_others_have_nothing_left_to_do() -> None:
    """They must wait for it, and take it over."""
    entered = threading.Barrier(2, timeout=20)
    rest = threading.Event()

    def bad(item: int) -> int:
        entered.wait()
        assert rest.wait(20)
        raise DeviceError("broken")

    waited: list[int] = []

    def good(item: int) -> int:
        if not waited:
            waited.append(item)
            entered.wait()
            rest.set()
        return item

    with StageGroup() as flow:
        assert list(flow.map_ordered([0, 1], (bad, good), depth=2)) == [0, 1]


def test_when_all_fail_the_last_error_rises_after_what_was_done() -> None:
    def until(end: int, word: str) -> Callable[[int], int]:
        def work(item: int) -> int:
            if item >= end:
                raise DeviceError(word)
            return item

        return work

    out: list[int] = []
    with StageGroup() as flow, pytest.raises(DeviceError):
        for item in flow.map_ordered(range(10), (until(5, "one"), until(5, "two")), depth=4):
            out.append(item)  # noqa: PERF402
    assert out == list(range(5))


def test_an_error_of_the_source_comes_after_what_it_gave() -> None:
    error = SourceError("torn")

    def items() -> Iterator[int]:
        yield from range(3)
        raise error

    out: list[int] = []
    with StageGroup() as flow, pytest.raises(SourceError) as caught:
        for item in flow.map_ordered(items(), [lambda item: item] * 3, depth=8):
            out.append(item)  # noqa: PERF402
    assert out == [0, 1, 2]
    assert caught.value is error


def test_a_foreign_error_ends_it_at_once() -> None:
    def bug(item: int) -> int:
        raise ZeroDivisionError

    with StageGroup() as flow, pytest.raises(ZeroDivisionError):
        list(flow.map_ordered(range(10), (bug, bug), depth=4))


def test_no_more_is_read_than_is_wanted() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for n in range(100):
            read.append(n)
            yield n

    is_full = threading.Semaphore(0)

    def work(item: int) -> int:
        is_full.release()
        return item

    with StageGroup() as flow:
        dealt = flow.map_ordered(items(), (work, work), depth=4)
        for _ in range(4):
            assert is_full.acquire(timeout=20)
        assert next(dealt) == 0
        assert is_full.acquire(timeout=20)
        assert len(read) <= 6


def test_leaving_ends_workers_that_wait() -> None:
    entered = threading.Event()
    let_go = threading.Event()

    def wait_forever(item: int) -> int:
        entered.set()
        let_go.wait(20)
        return item

    with StageGroup() as flow:
        dealt = flow.map_ordered(range(100), (wait_forever, wait_forever), depth=2)
        assert entered.wait(20)
        let_go.set()
    assert flow.abandoned_threads == ()
    with pytest.raises(Cancelled):
        list(dealt)
    assert not [t for t in threading.enumerate() if t.name.startswith("streamcam-stage")]


def test_a_worker_of_two_threads_fails_as_one() -> None:
    """Both of its threads have an item when the first fails: none is lost, it is told once, and it takes no more."""
    both = threading.Barrier(2, timeout=20)
    failures: list[int] = []
    taken: list[int] = []

    def bad(item: int) -> int:
        taken.append(item)
        both.wait()
        raise DeviceError(f"broken at {item}")

    gone = threading.Event()

    def good(item: int) -> int:
        assert gone.wait(20)
        return item

    def on_failure(worker: int, error: Exception) -> None:
        failures.append(worker)
        gone.set()

    with StageGroup() as flow:
        assert list(flow.map_ordered(range(20), (bad, good), depth=4, threads=2, on_failure=on_failure)) == list(
            range(20)
        )
    assert failures == [0]
    assert len(taken) == 2


def test_the_first_error_of_the_last_worker_is_the_one_that_rises() -> None:
    both = threading.Barrier(2, timeout=20)
    earlier: list[threading.Thread] = []
    failures: list[int] = []

    def bad(item: int) -> int:
        if item == 0:
            earlier.append(threading.current_thread())
        both.wait()
        if item == 1:
            earlier[0].join(20)
        raise DeviceError(f"item {item}")

    with StageGroup() as flow, pytest.raises(DeviceError, match="item 0"):
        list(
            flow.map_ordered(
                range(4), (bad,), depth=4, threads=2, on_failure=lambda worker, error: failures.append(worker)
            )
        )
    assert failures == []
