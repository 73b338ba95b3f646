"""Signals that end a command: Ctrl-C, SIGTERM, SIGHUP.

Before a command can lose anything, and during imports, a signal ends the process at once with one line: an exception
that is raised within an import may be swallowed there, or become another error. Later a signal raises
`KeyboardInterrupt`, so that outputs are completed.

This module and the packages above it import little: until the handlers are installed, a signal ends the process
without a line.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # the import of `typing` takes 7 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

SERVICES = ("live",)
"""Commands that run until they are stopped: SIGTERM and SIGHUP are their usual end, with exit code 0."""

EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143
_IMPORT_FILES = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"


class ReportedInterrupt(KeyboardInterrupt):
    """The user ended the command, and its result was printed."""


class StopSignals:
    """The signals that end a command, and the one received.

    Args:
        is_service: SIGTERM and SIGHUP are the usual end, with exit code 0.
        prints: print a line before ending at once.

    Attributes:
        received: number of the first signal; None before.
        early_message: message if a signal ends the process at once.
        early_output: text for stdout in that case.
    """

    def __init__(self, *, is_service: bool = False, prints: bool = True) -> None:
        self._is_service, self._prints = is_service, prints
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self.received: int | None = None
        self.early_message: Callable[[], str] = lambda: self.description
        self.early_output: Callable[[], str] = str

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM and SIGHUP; 0 if these are the usual end."""
        if self.received in (None, signal.SIGINT):
            return EXIT_INTERRUPTED
        return 0 if self._is_service else EXIT_TERMINATED

    @property
    def description(self) -> str:
        """``interrupted``, or ``stopped by SIGTERM``."""
        if self.received in (None, signal.SIGINT):
            return "interrupted"
        return f"stopped by {signal.Signals(self.received).name}"

    def exit_at_once(self) -> None:
        """End the process on a signal from now on."""
        self._install(self._exit)

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` on the first signal from now on; end the process during imports."""
        self._install(self._interrupt)

    def forward(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` on the first signal from now on; raise nothing.

        Args:
            stop: stops the process that does the work.
        """

        def forward(number: int, frame: FrameType | None) -> None:
            self._receive(number)
            stop()

        if self.received is not None:
            stop()
        else:
            self._install(forward)

    def restore(self) -> None:
        """Install the handlers from before again."""
        for number, handler in self._previous.items():
            if handler is not None:  # None: installed by another language
                signal.signal(number, handler)

    def raise_if_received(self) -> None:
        """Raise the interrupt that a library has swallowed.

        Raises:
            KeyboardInterrupt: a signal was received.
        """
        if self.received is not None:
            raise KeyboardInterrupt

    def _install(self, handler: Callable[[int, FrameType | None], None]) -> None:
        for number in _stop_signals():
            previous = signal.signal(number, handler)
            self._previous.setdefault(number, previous)

    def _exit(self, number: int, frame: FrameType | None) -> NoReturn:
        self.received = number
        if not self._prints:
            os._exit(self.exit_code)
        try:
            # File 2 is silenced while TensorFlow is imported; sys.stderr is not.
            stderr = sys.stderr.fileno()
            os.write(
                stderr, (_SHOW_CURSOR if os.isatty(stderr) else b"") + f"streamcam: {self.early_message()}\n".encode()
            )
        finally:
            try:
                os.write(1, self.early_output().encode())
            finally:
                os._exit(self.exit_code)

    def _interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        if _is_importing(frame):
            self._exit(number, frame)
        self._receive(number)
        raise KeyboardInterrupt

    def _receive(self, number: int) -> None:
        # The first signal ends the run in order and closes the output; only a second one may cut that short.
        self.received = number
        for one in _stop_signals():
            signal.signal(one, _interrupt_again)


def _stop_signals() -> list[int]:
    """Return the signals that end a command in order; SIGHUP only if nohup does not ignore it."""
    signals: list[int] = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in _IMPORT_FILES:
            return True
        frame = frame.f_back
    return False


def _interrupt_again(number: int, frame: FrameType | None) -> None:
    for one in _stop_signals():
        signal.signal(one, signal.SIG_DFL)
    # If the terminal is gone, printing fails, and closing the output must go on.
    import contextlib

    with contextlib.suppress(OSError, ValueError, AttributeError):
        print("finishing the file; press Ctrl-C again to stop now", file=sys.stderr, flush=True)
