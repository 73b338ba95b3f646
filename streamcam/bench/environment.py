"""Describe the machine of a benchmark."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from ..concurrency.cpus import cpu_count


def machine_info(devices: dict[str, str], cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return CPU, usable cores, memory in GiB, and the devices by name."""
    return {
        "cpu": _cpu_name(cpuinfo),
        "cores": cpu_count(),
        "memory_gib": _memory_gib(),
        "devices": devices,
    }


def limit_cores(count: int) -> None:
    """Limit this thread and those it starts to ``count`` cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _cpu_name(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> int:
    """Return the memory in GiB, rounded; 0 if the system does not report it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, ValueError, OSError):
        return 0
