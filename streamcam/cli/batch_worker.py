"""The process of a batch: ``python -m streamcam.cli.batch_worker``, started by `streamcam.cli.batch`.

Standard input holds one line with the jobs as JSON; its end stops the process. Standard output holds one event a line,
as a JSON object with ``event``:

    start        the next job begins
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
        _run_jobs(request["jobs"], events, signals)
    except KeyboardInterrupt:
        events.send("interrupted")


def _run_jobs(encoded: list[dict[str, Any]], events: EventWriter, signals: StopSignals) -> None:
    from ..engine import load_explainer
    from ..job import Job

    jobs = [Job.from_dict(one) for one in encoded]
    try:
        with collect_notes(lambda text: events.send("note", text=text, once=True)):
            explainer = load_explainer(jobs[0].model, jobs[0].explain, limit_threads=True)
    except Exception as error:
        signals.raise_if_received()
        events.send("fatal", error=str(to_streamcam_error(error)), usage=isinstance(error, OptionError))
        return
    for job in jobs:
        events.send("start")
        try:
            _run_job(job, explainer, events, signals)
        except Exception as error:
            signals.raise_if_received()
            events.send("failed", error=str(to_streamcam_error(error)))


def _run_job(job: Job, explainer: FrameExplainer, events: EventWriter, signals: StopSignals) -> None:
    from ..pipeline import Interrupted, RunCallbacks, run
    from .process import format_summary

    progress = _Progress(events)

    def on_frame(item: ExplainedFrame) -> None:
        signals.raise_if_received()
        progress.frame(item)

    callbacks = RunCallbacks(
        on_open=progress.on_open, on_ready=progress.ready, on_frame=on_frame, on_pass=progress.passes
    )
    with collect_notes(lambda text: events.send("note", text=text, once=text in explainer.notes)):
        try:
            summary = run(job, explainer=explainer, callbacks=callbacks)
        except Interrupted as stop:
            events.send("done", summary=stop.summary.as_dict(), line=format_summary(stop.summary))
            raise
    events.send("done", summary=summary.as_dict(), line=format_summary(summary))


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

    def __init__(self, events: EventWriter) -> None:
        self._events = events
        self._num_frames = 0
        self._total: int | None = None
        self._passes: tuple[int, int] | None = None
        self._is_ready = False
        self._last_seconds = 0.0

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
