"""Scheduling of threads while an encoder opens."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def keep_scheduling() -> Iterator[None]:
    """Keep this process's threads from becoming real-time ones.

    As root, SVT-AV1 gives its own threads and the one that opens it the highest real-time priority. All that this
    process starts later would inherit it, and take the cores from everything else on the machine.
    """
    if not hasattr(os, "sched_getscheduler"):  # not on macOS and Windows
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in map(int, os.listdir(_THREADS)):
                with contextlib.suppress(OSError):  # it has ended
                    if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                        os.sched_setscheduler(thread, policy, parameters)
