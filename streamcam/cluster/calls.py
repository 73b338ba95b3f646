"""Calls of a worker in another process: errors of the user travel as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import errors
from ..errors import StreamcamError


@dataclass(frozen=True, slots=True)
class Failure:
    """A `StreamcamError` that a worker raised.

    Attributes:
        kind: name of its class.
        message: its line.
    """

    kind: str
    message: str

    def error(self) -> StreamcamError:
        """Return the error."""
        kind: type[StreamcamError] = getattr(errors, self.kind, StreamcamError)
        return kind(self.message)


def call(worker: Any, method: str, *arguments: Any) -> Any:
    """Call a method; return its result, or a `Failure`."""
    try:
        return getattr(worker, method)(*arguments)
    except StreamcamError as error:
        return Failure(type(error).__name__, str(error))
