"""The memory that this process may use."""

from __future__ import annotations

import contextlib
from pathlib import Path

_FALLBACK_MEMORY_BYTES = 2 << 30
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Limit, use and statistics of a container's memory, in versions 2 and 1 of Linux's control groups."""


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that this process can still take: of the machine, and of its container.

    2 GiB if the system reports neither.

    Args:
        meminfo: the file in which Linux counts memory.
        cgroup: the folder of a container's limits.
    """
    found: list[int] = []
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) << 10)
    for limit, usage, statistics, cached in _CGROUP_FILES:
        with contextlib.suppress(OSError, ValueError):  # without a limit there is a word
            used_bytes = int((cgroup / usage).read_text()) - _statistic(cgroup / statistics, cached)
            found.append(max(0, int((cgroup / limit).read_text()) - used_bytes))
    return min(found, default=_FALLBACK_MEMORY_BYTES)


def _statistic(path: Path, name: str) -> int:
    """Return a value of a container's statistics; 0 if it is not there.

    The use of a container includes files that Linux keeps in memory as long as nothing else needs it.
    """
    with contextlib.suppress(OSError, ValueError):
        return next((int(line.split()[1]) for line in path.read_text().splitlines() if line.split()[:1] == [name]), 0)
    return 0
