"""Bound how many threads compute at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from types import TracebackType
from typing import TypeAlias

CpuSlot: TypeAlias = AbstractContextManager[None]

UNLIMITED: CpuSlot = nullcontext()
"""For threads that compute whenever they want."""


class CpuSlots:
    """Let only so many threads compute at a time; the others sleep until one is done.

        with slots:
            ...  # compute, and wait for nothing

    Threads that compute at the same time hand Python's lock to each other at every call that releases it, tens of
    times a frame, and each handover wakes a thread. Threads that wait here wake up once a frame.

    Not reentrant: a thread takes one slot at a time.

    Args:
        count: how many; usually one for each CPU core.
    """

    def __init__(self, count: int) -> None:
        # A semaphore of the standard library takes Python's lock several times; this queue is written in C.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.put(None)
