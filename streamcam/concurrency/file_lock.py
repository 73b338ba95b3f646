"""Locks that refuse two runs that write the same output."""

from __future__ import annotations

from pathlib import Path

from ..errors import SinkError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


def lock_file(descriptor: int, name: Path) -> None:
    """Lock a file or folder until its descriptor is closed.

    Raises:
        SinkError: another run has locked it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SinkError(f"{name} is being written by another run", hint="wait for it, or choose another name") from None
    except OSError:
        pass  # a file system without locks
