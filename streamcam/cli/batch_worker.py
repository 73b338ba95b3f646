"""The process of a batch: ``python -m streamcam.cli.batch_worker``, started by `streamcam.cli.batch`.

Standard input holds one line with the jobs as JSON; its end stops the process. Standard output holds one event a line,
as a JSON object with ``event``; those of a job have its place in the list as ``job``:

    start        the job begins
    progress     num_frames, total, passes (done and all), ready
    note         text, once (a note on the model, the same for each job)
    done         summary, line: the job is complete
    failed       error: the job failed
    fatal        error, usage: the model cannot be loaded
    interrupted  no further job is run
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import OptionError
from ..notes import collect_notes
from .errors import to_streamcam_error
from .signals import StopSignals

if TYPE_CHECKING:
    from ..engine.explainer import FrameExplainer
    from ..frames import ExplainedFrame, SourceInfo
    from ..job import Job
    from ..pipeline import RunCallbacks

_PROGRESS_SECONDS = 0.1


def main() -> None:
    """Run the jobs from standard input."""
    signals = StopSignals(prints=False)
    signals.interrupt()
    events = EventWriter(_reserve_stdout())
    try:
        request = json.loads(sys.stdin.buffer.readline() or b"null")
        if request is None:
            return
        threading.Thread(target=_stop_with_parent, args=(signals,), daemon=True).start()
        sys.path[:] = request["path"]
        _run_jobs(request, events, signals)
    except KeyboardInterrupt:
        events.send("interrupted")


def _run_jobs(request: dict[str, Any], events: EventWriter, signals: StopSignals) -> None:
    from ..engine import load_explainer
    from ..job import Job

    jobs = [Job.from_dict(one) for one in request["jobs"]]
    try:
        with collect_notes(lambda text: events.send("note", text=text, once=True)):
            explainer = load_explainer(jobs[0].model, jobs[0].explain, limit_threads=True)
    except Exception as error:
        signals.raise_if_received()
        events.send("fatal", error=str(to_streamcam_error(error)), usage=isinstance(error, OptionError))
        return
    signals.raise_if_received()
    _explain_inputs(jobs, explainer, events, signals, one_at_a_time=request["one_at_a_time"])


def _explain_inputs(
    jobs: list[Job], explainer: FrameExplainer, events: EventWriter, signals: StopSignals, *, one_at_a_time: bool
) -> None:
    from ..concurrent_jobs import ConcurrentJobs
    from .results import format_summary

    def begin(job: int) -> RunCallbacks:
        events.send("start", job=job)
        return _Progress(job, events).callbacks()

    running = ConcurrentJobs(
        jobs,
        explainer,
        one_at_a_time=one_at_a_time,
        callbacks=begin,
        on_note=lambda job, text: events.send("note", job=job, text=text, once=text in explainer.notes),
    )
    # The jobs run in threads of their own, where no signal is raised.
    signals.forward(running.stop)
    for result in running:
        if result.error is not None:
            events.send("failed", job=result.index, error=str(to_streamcam_error(result.error)))
        elif result.summary is not None:
            line = format_summary(result.summary, jobs[result.index])
            events.send("done", job=result.index, summary=result.summary.as_dict(), line=line)
    if running.interrupted:
        events.send("interrupted")


class EventWriter:
    """Writes events; safe to use from several threads."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def send(self, event: str, **values: object) -> None:
        """Write an event; if the parent is gone, the end of standard input stops the job."""
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._file.write(json.dumps({"event": event, **values}) + "\n")
            self._file.flush()


class _Progress:
    """Reports the progress of a job, some times a second."""

    def __init__(self, job: int, events: EventWriter) -> None:
        self._job, self._events = job, events
        self._num_frames = 0
        self._total: int | None = None
        self._passes: tuple[int, int] | None = None
        self._is_ready = False
        self._last_seconds = 0.0

    def callbacks(self) -> RunCallbacks:
        """Return the callbacks that report it."""
        from ..pipeline import RunCallbacks

        return RunCallbacks(on_open=self.on_open, on_ready=self.ready, on_frame=self.frame, on_pass=self.passes)

    def on_open(self, info: SourceInfo) -> None:
        """Report the expected number of frames."""
        self._total = info.num_frames
        self._send()

    def ready(self) -> None:
        """Report that the model is ready."""
        self._is_ready = True
        self._send()

    def frame(self, item: ExplainedFrame) -> None:
        """Count a frame."""
        self._num_frames += 1
        if time.monotonic() - self._last_seconds > _PROGRESS_SECONDS:
            self._send()

    def passes(self, done: int, total: int) -> None:
        """Report the passes of a multi-pass method."""
        self._passes = done, total
        if time.monotonic() - self._last_seconds > _PROGRESS_SECONDS:
            self._send()

    def _send(self) -> None:
        self._last_seconds = time.monotonic()
        self._events.send(
            "progress",
            job=self._job,
            num_frames=self._num_frames,
            total=self._total,
            passes=self._passes,
            ready=self._is_ready,
        )


def _reserve_stdout() -> TextIO:
    """Return standard output for events; redirect prints of models and libraries to stderr."""
    file = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return file


def _stop_with_parent(signals: StopSignals) -> None:
    """End the job in order when standard input ends: the parent is gone. At once if it is ending already."""
    while os.read(0, 1):
        pass
    if signals.received is not None:
        os._exit(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
    # A thread may be left in a call that cannot be interrupted.
    os._exit(0)
