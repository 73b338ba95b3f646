"""The CPU cores of this process."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path


def cpu_count(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of CPU cores that this process may use.

    That is the number of cores in its affinity, or the CPU quota of its container if that is smaller, rounded up.

    Args:
        cgroup: the folder of a container's limits.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # versions 2 and 1
        with contextlib.suppress(OSError, ValueError):  # without a quota there is a word, or -1
            quota, period = map(int, " ".join((cgroup / name).read_text() for name in names).split())
            if quota > 0 and period > 0:
                cores = min(cores, math.ceil(quota / period))
    return cores
