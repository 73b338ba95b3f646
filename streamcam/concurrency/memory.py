"""The memory that this process may use."""

from __future__ import annotations

import contextlib
from pathlib import Path

_FALLBACK_MEMORY_BYTES = 2 << 30
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Limit and use of a container's memory, in versions 2 and 1 of Linux's control groups."""


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
    for limit, usage in _CGROUP_FILES:
        with contextlib.suppress(OSError, ValueError):  # without a limit there is a word
            found.append(max(0, int((cgroup / limit).read_text()) - int((cgroup / usage).read_text())))
    return min(found, default=_FALLBACK_MEMORY_BYTES)
