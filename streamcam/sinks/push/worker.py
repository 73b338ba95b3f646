"""The parent's side of a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ...errors import SinkError, redact_url
from .destinations import Destination
from .protocol import EXIT_BUSY, EXIT_LOST, SHORTAGES, Item, WorkerConfig, pack_audio, pack_frame, write_available

_PACKAGE = Path(__file__).parents[2]
_EXIT_TIMEOUT_SECONDS = 5.0
_NEVER = float("inf")


class WorkerError(SinkError):
    """The worker process failed.

    Attributes:
        lost: its peer could not be reached, closed the connection, or stalled.
        killed: by another process.
        busy: something was short that may be back soon, such as file descriptors.
        started: False if there was no process.
    """

    def __init__(
        self,
        problem: str,
        *,
        hint: str = "",
        lost: bool = False,
        killed: bool = False,
        busy: bool = False,
        started: bool = True,
    ) -> None:
        super().__init__(problem, hint=hint)
        self.lost, self.killed, self.busy, self.started = lost, killed, busy, started


class WorkerProcess:
    """A process that writes frames.

    It ends with its ``with`` block, even during a call. One thread uses it; meanwhile others may call only `wake`.

    Args:
        config: of the worker.
        destination: of the output.
        pop_item: returns the next frame and its pts, or audio packet; None if the queue is empty.
        on_running: called once the first frame is written.
        on_warning: called with a line for the user.
        closing: set, before `wake`, when no more frames follow.
        poll_seconds: asks ``pop_item`` this often, also without `wake`; None for no need.

    Raises:
        WorkerError: it cannot be started.
    """

    def __init__(
        self,
        config: WorkerConfig,
        destination: Destination,
        pop_item: Callable[[], Item | None],
        on_running: Callable[[], None],
        on_warning: Callable[[str], None],
        closing: threading.Event,
        *,
        poll_seconds: float | None = None,
    ) -> None:
        self._destination, self._pop_item, self._closing = destination, pop_item, closing
        self._on_running, self._on_warning = on_running, on_warning
        self._poll_seconds = _NEVER if poll_seconds is None else poll_seconds
        self._timeout_seconds = config.options.timeout_seconds
        self._name = redact_url(config.options.url)
        self._unsent = [memoryview(config.to_json_line())]
        self._is_feeding = True
        self._progress_time = time.monotonic()
        self._exit_deadline = _NEVER
        self._reply_buffer, self._stray_output, self._error, self._overdue_reason = b"", "", "", ""
        self._wake_r = self._wake_w = -1
        try:
            self._wake_r, self._wake_w = os.pipe()
            self._process = _start_process(destination)
        except OSError as error:
            self._close_wake_pipe()
            raise WorkerError(
                f"cannot start the process for {self._name}: {error.strerror}",
                lost=True,
                busy=error.errno in SHORTAGES,
                started=False,
            ) from error
        assert self._process.stdin
        assert self._process.stderr
        self._stdin_fd, self._stderr_fd = self._process.stdin.fileno(), self._process.stderr.fileno()
        for descriptor in (self._stdin_fd, self._stderr_fd, self._wake_r, self._wake_w):
            os.set_blocking(descriptor, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stderr):
            assert file
            file.close()
        self._close_wake_pipe()

    def _close_wake_pipe(self) -> None:
        for descriptor in (self._wake_r, self._wake_w):
            if descriptor >= 0:
                os.close(descriptor)

    def wake(self) -> None:
        """Signal that a frame is queued, or that no more follow."""
        # A full pipe wakes the reader as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_w, b"\0")

    def serve(self) -> None:
        """Send frames until no more follow; wait for the process to end.

        Raises:
            WorkerError: it failed, or did not end in time.
        """
        replies_open = True
        while replies_open:
            self._next_item()
            ready = self._poll()
            if self._wake_r in ready:
                os.read(self._wake_r, 1 << 16)
            if self._stdin_fd in ready:
                self._send()
            if self._stderr_fd in ready:
                replies_open = self._read_replies()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_SECONDS)
        self._process.kill()
        code = self._process.wait()
        if code or self._is_feeding:
            raise self._exit_error(code)

    def _next_item(self) -> None:
        """Take the next item if the one before was sent."""
        if not self._is_feeding or self._unsent:
            return
        # Read before the queue, so that a frame queued ahead of closing is not missed.
        closing = self._closing.is_set()
        item = self._pop_item()
        if item is not None:
            self._unsent = pack_frame(*item) if isinstance(item, tuple) else pack_audio(item)
            self._progress_time = time.monotonic()
        elif closing:
            self._stop_feeding()

    def _stop_feeding(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._unsent, self._is_feeding = [], False

    def _send(self) -> None:
        try:
            self._unsent = write_available(self._stdin_fd, self._unsent)
            self._progress_time = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            # The worker exited; its error arrives on stderr. Stop writing.
            self._unsent, self._pop_item = [], lambda: None

    def _poll(self) -> set[int]:
        """Wait for an event; kill the process if it is overdue."""
        now = time.monotonic()
        if self._closing.is_set():
            self._exit_deadline = min(self._exit_deadline, now + self._destination.shutdown_timeout_seconds)
        silence_deadline = (
            self._progress_time + 2 * self._timeout_seconds + _EXIT_TIMEOUT_SECONDS
            if self._destination.network and self._unsent
            else _NEVER
        )
        deadline = min(self._exit_deadline, silence_deadline)
        if now >= deadline and not self._overdue_reason:
            self._overdue_reason = "did not finish" if deadline == self._exit_deadline else "read no frame"
            self._process.kill()
        poll = select.poll()
        for descriptor in (self._stderr_fd, self._wake_r):
            poll.register(descriptor, select.POLLIN)
        if self._unsent:
            poll.register(self._stdin_fd, select.POLLOUT)
        wait_seconds = _NEVER if self._overdue_reason else deadline - now
        if self._is_feeding and not self._unsent:
            wait_seconds = min(wait_seconds, self._poll_seconds)
        wait_ms = None if wait_seconds == _NEVER else wait_seconds * 1000 + 1
        return {descriptor for descriptor, _ in poll.poll(wait_ms)}

    def _read_replies(self) -> bool:
        """Read the worker's messages; return False at their end."""
        received = os.read(self._stderr_fd, 1 << 16)
        *lines, self._reply_buffer = (self._reply_buffer + received).split(b"\n")
        for line in lines:
            reply = _parse_reply(line)
            if reply is None:
                self._stray_output = line.decode(errors="replace").strip() or self._stray_output
            elif "error" in reply:
                self._error = reply["error"]
            elif "warning" in reply:
                self._on_warning(reply["warning"])
            else:
                self._on_running()
        return bool(received)

    def _exit_error(self, code: int) -> WorkerError:
        if self._overdue_reason:
            return WorkerError(f"the process for {self._name} {self._overdue_reason} in time and was killed", lost=True)
        if code == -signal.SIGALRM:
            return WorkerError(
                f"{self._name} did not answer within {self._timeout_seconds:g} s", hint="check the address", lost=True
            )
        if self._error:
            return WorkerError(self._error, lost=code == EXIT_LOST, busy=code == EXIT_BUSY)
        if code < 0:
            name = signal.Signals(-code).name
            return WorkerError(f"the process for {self._name} was killed ({name})", lost=True, killed=True)
        return WorkerError(
            f"the process for {self._name} failed: {self._stray_output or f'exit code {code}'}",
            busy=any(os.strerror(number) in self._stray_output for number in SHORTAGES),
        )


def _start_process(destination: Destination) -> subprocess.Popen[bytes]:
    paths = [str(_PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(  # noqa: S603
        # Use this process's module path, not the current folder.
        [sys.executable, "-P", "-m", f"{_PACKAGE.name}.sinks.push"],
        stdin=subprocess.PIPE,
        stdout=None if destination.stdout else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def _parse_reply(line: bytes) -> dict[str, str] | None:
    """Parse a message of the worker; other lines come from libraries."""
    try:
        reply = json.loads(line)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None
