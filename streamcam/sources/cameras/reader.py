"""Read a connection in a thread, which is abandoned in a silence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator

from ...concurrency.group import StageGroup
from .capture_times import ReceivedFrame
from .connection import Connection

_CLOSE_SECONDS = 1.0
"""Seconds to wait for a connection to close; one that is silent closes later, by itself."""
_QUEUED_FRAMES = 2


class ConnectionReader:
    """Opens, reads and closes one connection.

    Args:
        open_connection: opens it.

    Attributes:
        connection: None until it is open.
    """

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self.connection: Connection | None = None
        self._open_connection = open_connection

    @property
    def silent_seconds(self) -> float:
        """Seconds that the current read has waited for the peer; 0 while it opens, decodes or delivers."""
        since = None if self.connection is None else self.connection.reading_since
        return 0.0 if since is None else time.monotonic() - since

    def frames(self) -> Generator[ReceivedFrame]:
        """Yield the frames, read in the caller's thread.

        Raises:
            SourceError: it cannot be opened, or was lost.
        """
        with contextlib.closing(self._open_connection()) as self.connection:
            yield from self.connection

    def frames_in_thread(self, on_wait: Callable[[], None]) -> Generator[ReceivedFrame]:
        """Yield the frames, read in a thread of its own.

        Args:
            on_wait: called every 0.1 s while there is no frame; its error abandons the connection.

        Raises:
            SourceError: it cannot be opened, or was lost.
        """
        with StageGroup(shutdown_timeout_seconds=_CLOSE_SECONDS) as group:
            yield from group.prefetch(self.frames(), depth=_QUEUED_FRAMES, name="connection", on_wait=on_wait)
