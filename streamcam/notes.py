"""Collect the log messages of a run for summary and terminal.

Modules log with `get_logger`. A run collects the records of its own threads only, so that two runs
in one process do not mix: a context variable holds the run that a record belongs to, and `StageGroup` and
`BackgroundOpen` start their threads in a copy of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_LOGGER = logging.getLogger("streamcam")
_LOGGER.addHandler(logging.NullHandler())
if _LOGGER.level == logging.NOTSET:
    # Notes are records of level INFO; a higher level keeps them out of summaries, too.
    _LOGGER.setLevel(logging.INFO)

_active: ContextVar[tuple[NoteHandler, ...]] = ContextVar("streamcam_note_handlers", default=())


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module; it prints nothing by itself, and lets notes pass."""
    return logging.getLogger(name)


class NoteHandler(logging.Handler):
    """Pass on the messages of one run.

    Args:
        write: called with each message, in the thread that logs it.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record if this run logged it."""
        if self in _active.get():
            self._write(record.getMessage())


@contextlib.contextmanager
def collect_notes(write: Callable[[str], object]) -> Iterator[NoteHandler]:
    """Pass each message that the block and its threads log to ``write``.

    Blocks nest: the outer collector (terminal) receives all records of the inner one (run).
    """
    handler = NoteHandler(write)
    _LOGGER.addHandler(handler)
    token = _active.set((*_active.get(), handler))
    try:
        yield handler
    finally:
        _active.reset(token)
        _LOGGER.removeHandler(handler)
