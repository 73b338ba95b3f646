"""Messages and exit codes of the commands."""

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


def print_error(error: StreamcamError | str) -> None:
    """Print an error as one line on stderr."""
    typer.echo(f"streamcam: {error}", err=True)


def print_note(line: str) -> None:
    """Print a note on stderr: stdout belongs to results."""
    typer.echo(line, err=True)


def to_streamcam_error(error: Exception) -> StreamcamError:
    """Return any error as a `StreamcamError`, whose message is one line."""
    if isinstance(error, StreamcamError):
        return error
    # Errors of FFmpeg are translated where they occur.
    if isinstance(error, OSError) and not type(error).__module__.startswith("av."):
        return StreamcamError(f"{error.filename or 'standard output'}: {error.strerror or error}")
    return StreamcamError(
        f"internal error: {type(error).__name__}: {error}",
        hint="please report it with the output of the same command under STREAMCAM_DEBUG=1",
    )


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into a line on stderr and an exit code.

    SIGTERM and SIGHUP act like Ctrl-C.
    """

    @functools.wraps(command)
    def run_command(*args: P.args, **kwargs: P.kwargs) -> R:
        previous_handlers = {number: signal.signal(number, _interrupt) for number in _stop_signals()}
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(_separate_stderr())
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except StreamcamError as error:
            print_error(error)
            raise typer.Exit(2 if isinstance(error, OptionError) else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of stdout is gone; Python must not flush it again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except Exception as error:
            if os.environ.get("STREAMCAM_DEBUG"):
                raise
            print_error(to_streamcam_error(error))
            raise typer.Exit(1) from None
        finally:
            stack.close()
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)

    return run_command


@contextlib.contextmanager
def _separate_stderr() -> Iterator[None]:
    """Give `sys.stderr` its own descriptor: file 2 is silenced while TensorFlow is imported."""
    if sys.stderr is not sys.__stderr__ or sys.stderr is None:
        yield
        return
    shared = sys.stderr
    with os.fdopen(os.dup(shared.fileno()), "w", buffering=1, encoding=shared.encoding, errors=shared.errors) as own:
        sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = shared


def _stop_signals() -> list[int]:
    """Return the signals that end a command in order; SIGHUP only if nohup does not ignore it."""
    signals: list[int] = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def _interrupt(number: int, frame: Any) -> NoReturn:
    # The first signal ends the run in order and closes the output; only a second one may cut that short.
    for signum in _stop_signals():
        signal.signal(signum, _interrupt_again)
    raise KeyboardInterrupt


def _interrupt_again(number: int, frame: Any) -> None:
    for signum in _stop_signals():
        signal.signal(signum, signal.SIG_DFL)
    # If the terminal is gone, printing fails, and closing the output must go on.
    with contextlib.suppress(OSError):
        print_note("finishing the file; press Ctrl-C again to stop now")
