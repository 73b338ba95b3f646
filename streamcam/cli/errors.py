"""Messages and exit codes of the commands."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NoReturn, ParamSpec, TypeVar

import typer

from ..errors import OptionError, SinkError, StreamcamError
from .signals import ReportedInterrupt, StopSignals

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


def exit_code(error: Exception) -> int:
    """Return the exit code of an error: 2 for a wrong command line, else 1."""
    return 2 if isinstance(error, OptionError) else 1


class Command:
    """A command that is running.

    Attributes:
        signals: the signals that end it.
        facts: what ``--json`` prints beside the error if the command fails.
        done: what is done so far, for the message of an interrupt.
    """

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals
        self.facts: dict[str, object] = {}
        self.done = ""

    @property
    def interrupt_message(self) -> str:
        """The message of an interrupt."""
        return "; ".join(filter(None, (self.signals.description, self.done)))


_current: ContextVar[Command | None] = ContextVar("streamcam_command", default=None)


def current_command() -> Command:
    """Return the command that `handle_errors` runs; outside of one, a new one."""
    return _current.get() or Command(StopSignals())


def handle_errors(command: Callable[P, R], *, is_service: bool = False) -> Callable[P, R]:
    """Turn errors into a line on stderr and an exit code.

    With ``--json`` a failed command prints an object with ``error`` on stdout. SIGTERM and SIGHUP act like Ctrl-C, with
    an exit code of their own.

    Args:
        command: function of the command line; its keyword ``as_json`` is ``--json``.
        is_service: SIGTERM and SIGHUP are the usual end of the command, with exit code 0.
    """

    @functools.wraps(command)
    def run_command(*args: P.args, **kwargs: P.kwargs) -> R:
        signals = StopSignals(is_service=is_service)
        running = Command(signals)
        as_json = bool(kwargs.get("as_json"))

        def fail(problem: str, code: int, **facts: object) -> NoReturn:
            print_error(problem)
            try:
                if as_json:
                    typer.echo(_error_json(running, problem, **facts))
            except OSError:
                _drop_stdout()
            raise typer.Exit(code)

        signals.early_message = lambda: running.interrupt_message
        signals.early_output = lambda: (
            f"{_error_json(running, running.interrupt_message, interrupted=True)}\n" if as_json else ""
        )
        token = _current.set(running)
        stack = contextlib.ExitStack()
        try:
            signals.interrupt()
            stack.enter_context(_separate_stderr())
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except ReportedInterrupt:
            raise typer.Exit(signals.exit_code) from None
        except KeyboardInterrupt:
            fail(running.interrupt_message, signals.exit_code, interrupted=True)
        except BrokenPipeError:
            _drop_stdout()
            raise typer.Exit(1) from None
        except Exception as error:
            if signals.received is not None and not isinstance(error, SinkError):
                # A library has turned the interrupt into an error of its own.
                fail(running.interrupt_message, signals.exit_code, interrupted=True)
            if os.environ.get("STREAMCAM_DEBUG") and not isinstance(error, StreamcamError):
                raise
            fail(str(to_streamcam_error(error)), exit_code(error))
        finally:
            stack.close()
            _current.reset(token)
            signals.restore()

    return run_command


def _drop_stdout() -> None:
    """Stop writing to stdout: its reader is gone, and Python must not flush it again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _error_json(running: Command, problem: str, **facts: object) -> str:
    return json.dumps({**running.facts, "error": problem, **facts})


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
