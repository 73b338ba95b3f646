"""Slots: no more threads compute at a time, and none is left out."""

from __future__ import annotations

import threading

import pytest

from streamcam.concurrency.cpu_slots import CpuSlots
from streamcam.concurrency.group import StageGroup


@pytest.mark.parametrize("count", [1, 3])
def test_so_many_compute_at_a_time(count: int) -> None:
    slots, lock, together = CpuSlots(count), threading.Lock(), threading.Barrier(count)
    inside, most, done = 0, 0, threading.Semaphore(0)

    def compute() -> None:
        nonlocal inside, most
        with slots:
            with lock:
                inside += 1
                most = max(most, inside)
            # All slots are in use at once: with one fewer, this would wait forever.
            together.wait(20)
            with lock:
                inside -= 1
        done.release()

    with StageGroup() as group:
        for _ in range(4 * count):
            group.spawn(compute, stop=lambda: None)
        assert all(done.acquire(timeout=20) for _ in range(4 * count))
    assert most == count


def test_an_error_frees_the_slot() -> None:
    slots = CpuSlots(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), slots:
            raise ZeroDivisionError
