"""Several inputs with one loaded model, in a supervised process.

A defect in a codec or a device driver can end a process; then the process is started again for the remaining inputs.
If it was working on several at once, it works on one at a time until the input to blame has ended it again.
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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import OptionError, StreamcamError
from .errors import current_command
from .progress import ProgressDisplay, ProgressRow
from .results import input_name

if TYPE_CHECKING:
    from ..job import Job

_PACKAGE = Path(__file__).parents[1]


class Batch:
    """The results of several jobs; a failed one does not stop the others.

    Args:
        jobs: name for messages, and job.
        quiet: print errors only.

    Attributes:
        interrupted: True if the user ended the batch.
    """

    def __init__(self, jobs: list[tuple[str, Job]], *, quiet: bool) -> None:
        self.interrupted = False
        self._names = [name for name, _ in jobs]
        self._jobs = [job for _, job in jobs]
        self._is_new = [_is_new(job) for job in self._jobs]
        self._summaries: dict[int, dict[str, Any]] = {}
        self._errors: dict[int, str] = {}
        self._quiet = quiet
        self._one_at_a_time = False
        self._process_jobs: list[int] = []
        self._rows: dict[int, ProgressRow] = {}
        self._has_ended_any = False
        self._printed: set[str] = set()
        self._display = ProgressDisplay(len(jobs), quiet=quiet)

    @property
    def results(self) -> list[dict[str, Any]]:
        """Summaries as values for JSON, in order."""
        return [self._summaries[index] for index in sorted(self._summaries)]

    @property
    def failed(self) -> list[dict[str, str]]:
        """Input and error of each failed job, in order."""
        return [{"input": self._input(index), "error": self._errors[index]} for index in sorted(self._errors)]

    @property
    def _remaining(self) -> list[int]:
        return [n for n in range(len(self._jobs)) if n not in self._summaries and n not in self._errors]

    def run(self) -> None:
        """Run all jobs.

        Raises:
            StreamcamError: the model cannot be loaded; no job was run.
        """
        signals = current_command().signals
        with self._display:
            while self._remaining and not self.interrupted:
                self._run_process()
                self.interrupted = self.interrupted or (bool(self._remaining) and signals.received is not None)

    def _run_process(self) -> None:
        """Run the remaining jobs in one process, until it ends."""
        self._process_jobs, self._has_ended_any = self._remaining, False
        with _start_process() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            current_command().signals.forward(process.terminate)
            request = {
                "jobs": [self._jobs[index].to_dict() for index in self._process_jobs],
                "one_at_a_time": self._one_at_a_time,
                "path": sys.path,
            }
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
        if self._remaining and not self.interrupted and current_command().signals.received is None:
            self._handle_crash(process.returncode)

    def _handle_crash(self, code: int) -> None:
        """Count the job that the process was working on as failed; of several, find the one to blame."""
        reason = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "it was probably out of memory" if code == -signal.SIGKILL else ""
        error = StreamcamError(f"the process {reason}", hint=hint)
        in_progress = list(self._rows)
        if len(in_progress) == 1:
            # It is to blame: the others may run at once again.
            self._one_at_a_time = False
            self._end(in_progress[0])
            self._fail(in_progress[0], str(error))
        elif in_progress:
            self._one_at_a_time = True
            for index in in_progress:
                self._end(index)
                # What is there now is the part that the ended process has written; with --resume it is continued.
                if self._is_new[index]:
                    job = self._jobs[index]
                    self._jobs[index] = replace(job, sink=replace(job.sink, overwrite=True))
            names = ", ".join(self._names[index] for index in in_progress)
            self._print_note(f"{error}; {names}: again, one at a time", once=False)
        elif not self._has_ended_any:
            # The results of earlier processes are not lost with it.
            current_command().facts.update(results=self.results, failed=self.failed)
            raise error

    def _handle(self, event: Mapping[str, Any]) -> None:
        """Handle an event of `streamcam.cli.batch_worker`."""
        kind = event["event"]
        index = self._process_jobs[event["job"]] if "job" in event else -1
        if kind == "fatal":
            raise (OptionError if event["usage"] else StreamcamError)(event["error"])
        if kind == "start":
            self._rows[index] = self._display.add(self._names[index])
        elif kind == "done":
            self._has_ended_any = True
            self._end(index)
            self._summaries[index] = event["summary"]
            self._display.count_input()
            self._print_note(event["line"], once=False)
        elif kind == "failed":
            self._has_ended_any = True
            self._end(index)
            self._fail(index, event["error"])
        elif kind == "interrupted":
            self.interrupted = True
        elif kind == "note":
            self._print_note(event["text"], once=event["once"])
        elif kind == "progress" and index in self._rows:
            self._rows[index].update(event["num_frames"], event["total"], event["passes"], is_ready=event["ready"])

    def _end(self, index: int) -> None:
        self._rows.pop(index).remove()

    def _fail(self, index: int, error: str) -> None:
        self._errors[index] = error
        self._display.count_input()
        name = self._names[index]
        is_named = error.startswith(tuple(f"{one}{end}" for one in (name, self._input(index)) for end in " :"))
        self._display.print_line(f"streamcam: {error}" if is_named else f"streamcam: {name}: {error}")

    def _input(self, index: int) -> str:
        return input_name(self._jobs[index].source.url)

    def _print_note(self, text: str, *, once: bool) -> None:
        if self._quiet or (once and text in self._printed):
            return
        self._printed.add(text)
        self._display.print_line(text)


def _is_new(job: Job) -> bool:
    """Return True if output and record of a job do not exist."""
    return not any(os.path.lexists(path) for path in (job.sink.path, job.sink.record_path) if path is not None)


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
