"""What the user is told, where, and with which exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer

from ..errors import OptionError, StreamcamError

P = ParamSpec("P")
R = TypeVar("R")


def complain(error: StreamcamError | str) -> None:
    """What went wrong, in one line on stderr."""
    typer.echo(f"streamcam: {error}", err=True)


def say(line: str) -> None:
    """An announcement, on stderr: stdout belongs to results."""
    typer.echo(line, err=True)


def understood(error: Exception) -> StreamcamError:
    """Any error as one line that says what to do."""
    if isinstance(error, StreamcamError):
        return error
    # FFmpeg's are translated where they arise.
    if isinstance(error, OSError) and not type(error).__module__.startswith("av."):
        return StreamcamError(f"{error.filename or 'standard output'}: {error.strerror or error}")
    return StreamcamError(
        f"this should not have happened: {type(error).__name__}: {error}",
        do="please report it with the output of the same command under STREAMCAM_DEBUG=1",
    )


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Turns what a command raises into a line on stderr and an exit code; SIGTERM and SIGHUP end it like Ctrl-C."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        before = {number: signal.signal(number, _interrupt) for number in _endings()}
        own = contextlib.ExitStack()
        try:
            own.enter_context(_own_stderr())
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except StreamcamError as error:
            complain(error)
            raise typer.Exit(2 if isinstance(error, OptionError) else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Whoever read stdout has gone; Python must not try to flush it again on the way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except Exception as error:
            if os.environ.get("STREAMCAM_DEBUG"):
                raise
            complain(understood(error))
            raise typer.Exit(1) from None
        finally:
            own.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    return wrapped


@contextlib.contextmanager
def _own_stderr() -> Iterator[None]:
    """Keeps lines for the user out of what is hushed: while TensorFlow is imported all that goes to file 2 is."""
    if sys.stderr is not sys.__stderr__ or sys.stderr is None:
        yield
        return
    common = sys.stderr
    with os.fdopen(os.dup(common.fileno()), "w", buffering=1, encoding=common.encoding, errors=common.errors) as own:
        sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = common


def _endings() -> list[int]:
    """Signals that end a command in order; that of a terminal which is gone only where nohup has not had it ignored."""
    signals: list[int] = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def _interrupt(number: int, frame: Any) -> NoReturn:
    # The first signal ends the run in order, which closes the output; only one that comes after that is
    # allowed to cut the closing short.
    for again in _endings():
        signal.signal(again, _second)
    raise KeyboardInterrupt


def _second(number: int, frame: Any) -> None:
    for again in _endings():
        signal.signal(again, signal.SIG_DFL)
    # A terminal that is gone cannot be told, and the closing must not end for that.
    with contextlib.suppress(OSError):
        say("closing the output; once more to leave it as it is")
