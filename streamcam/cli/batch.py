"""Several inputs with one loaded model, in a supervised process.

A defect in a codec or a device driver can end a process; then the process is started again for the remaining inputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import OptionError, StreamcamError
from .errors import current_command, print_error, print_note
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..job import Job

_PACKAGE = Path(__file__).parents[1]


class Batch:
    """The results of several jobs, one after another; a failed one does not stop the others.

    Args:
        jobs: name for messages, and job.
        quiet: print errors only.

    Attributes:
        results: summaries as values for JSON, in order.
        failed: name and error of each failed job.
        interrupted: True if the user ended the batch.
    """

    def __init__(self, jobs: list[tuple[str, Job]], *, quiet: bool) -> None:
        self.results: list[dict[str, Any]] = []
        self.failed: list[dict[str, str]] = []
        self.interrupted = False
        self._remaining = deque(jobs)
        self._quiet = quiet
        self._started = self._progressed = False
        self._printed: set[str] = set()
        self._progress_bar: ProgressBar | None = None

    def run(self) -> None:
        """Run all jobs.

        Raises:
            StreamcamError: the model cannot be loaded; no job was run.
        """
        signals = current_command().signals
        while self._remaining and not self.interrupted:
            self._run_process()
            self.interrupted = self.interrupted or (bool(self._remaining) and signals.received is not None)

    def _run_process(self) -> None:
        """Run the remaining jobs in one process, until it ends."""
        self._started = self._progressed = False
        with _start_process() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            current_command().signals.forward(process.terminate)
            request = {"jobs": [job.to_dict() for _, job in self._remaining], "path": sys.path}
            try:
                # Left open: the process ends in order when its input ends, however this process ends.
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # its exit code says more
            try:
                for event in _read_events(process.stdout):
                    self._handle(event)
            except BaseException:
                process.kill()
                raise
            finally:
                self._end_progress()
        if self._remaining and not self.interrupted and current_command().signals.received is None:
            self._handle_crash(process.returncode)

    def _handle_crash(self, code: int) -> None:
        """Count the job that the process was working on as failed."""
        reason = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "it was probably out of memory" if code == -signal.SIGKILL else ""
        error = StreamcamError(f"the process {reason}", hint=hint)
        if self._started:
            self._fail(str(error))
        elif not self._progressed:
            # The results of earlier processes are not lost with it.
            current_command().facts.update(results=self.results, failed=self.failed)
            raise error

    def _fail(self, error: str) -> None:
        name, _ = self._remaining.popleft()
        self._end_progress()
        print_error(f"{name}: {error}")
        self.failed.append({"input": name, "error": error})

    def _handle(self, event: Mapping[str, Any]) -> None:
        """Handle an event of `streamcam.cli.batch_worker`."""
        kind, bar = event["event"], self._progress_bar
        if kind == "fatal":
            raise (OptionError if event["usage"] else StreamcamError)(event["error"])
        if kind == "start":
            self._started = True
            self._progress_bar = ProgressBar(self._remaining[0][0], quiet=self._quiet)
            self._progress_bar.__enter__()
        elif kind == "done":
            self._started, self._progressed = False, True
            self._remaining.popleft()
            self.results.append(event["summary"])
            self._end_progress()
            if not self._quiet:
                print_note(event["line"])
        elif kind == "failed":
            self._started, self._progressed = False, True
            self._fail(event["error"])
        elif kind == "interrupted":
            self.interrupted = True
        elif kind == "note":
            self._print_note(event["text"], once=event["once"])
        elif bar is not None and kind == "progress":
            bar.update(event["num_frames"], event["total"], event["passes"], is_ready=event["ready"])

    def _print_note(self, text: str, *, once: bool) -> None:
        if self._quiet or (once and text in self._printed):
            return
        self._printed.add(text)
        if self._progress_bar is not None:
            self._progress_bar.print_line(text)
        else:
            print_note(text)

    def _end_progress(self) -> None:
        bar, self._progress_bar = self._progress_bar, None
        if bar is not None:
            bar.__exit__(None, None, None)


def _start_process() -> subprocess.Popen[bytes]:
    paths = [str(_PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", f"{_PACKAGE.name}.cli.batch_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C on the terminal reaches this process only, which passes it on.
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def _read_events(stdout: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield events until the process ends; signal handlers run meanwhile."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in stdout:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, name="batch-events", daemon=True).start()
    while line := lines.get():
        with contextlib.suppress(ValueError):  # a line that was cut off by the end of the process
            yield json.loads(line)
