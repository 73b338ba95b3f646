"""Standard input as a file for PyAV."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable

_STDIN_FD = 0
"""Standard input's."""
_CHUNK_BYTES = 4096
_POLL_SECONDS = 0.1
"""Seconds between checks for a stop while waiting for standard input."""


class StandardInput:
    """Standard input for PyAV, whose reads end when the camera is stopped.

    Args:
        stopping: ends the reads.
        timeout_seconds: silence that is reported.
        on_silence: called with one line, once a silence.
    """

    name = "standard input"

    def __init__(self, stopping: threading.Event, timeout_seconds: float, on_silence: Callable[[str], None]) -> None:
        self._stopping = stopping
        self._timeout_seconds = timeout_seconds
        self._on_silence = on_silence
        self._pending = b""

    def has_more(self) -> bool:
        """Return whether more data follows; wait for it, or for the end."""
        self._pending = self._pending or self._read(_CHUNK_BYTES)
        return bool(self._pending)

    def read(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end."""
        if self._pending:
            data, self._pending = self._pending[:size], self._pending[size:]
            return data
        return self._read(size)

    def _read(self, size: int) -> bytes:
        if sys.platform != "win32":
            start_time, is_reported = time.monotonic(), False
            while not select.select([_STDIN_FD], [], [], _POLL_SECONDS)[0]:
                if self._stopping.is_set():
                    return b""
                if not is_reported and time.monotonic() - start_time > self._timeout_seconds:
                    is_reported = True
                    self._on_silence(f"standard input sent no data for {self._timeout_seconds:g} s")
        return os.read(_STDIN_FD, size)
