"""Several jobs at once with one loaded model.

Each job is a pipeline of its own (`streamcam.pipeline.run`), in threads of its own; they share the explainer, and with
it the compiled methods. A job begins once the one before it has compiled its method. So methods are compiled one after
another and in order, and the results are the same for any number of jobs at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from .concurrency.capacity import Capacity, Demand
from .concurrency.group import StageGroup
from .frames import ExplainedFrame, SourceInfo
from .job import Job
from .notes import collect_notes
from .options import SinkOptions
from .pipeline import Interrupted, RunCallbacks, run
from .sinks import SINKS
from .sinks.encoder_demand import encoder_demand
from .summary import Summary

if TYPE_CHECKING:
    from .engine.explainer import FrameExplainer

_OPENING_SECONDS = 5.0
"""Seconds that stopped jobs without a frame have to end. They have nothing to complete."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of one job: a summary or an error.

    Attributes:
        index: place of the job.
        summary: of the run; also of one that was stopped after its first frame.
        error: why the job failed.
    """

    index: int
    summary: Summary | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Running:
    """A job in progress.

    Attributes:
        demand: what it needs.
        sink: options of its output.
        is_image: the input is expected to be an image.
        is_ready: its method is compiled, and its frames flow.
    """

    demand: Demand
    sink: SinkOptions
    is_image: bool
    is_ready: bool = False


_Event: TypeAlias = tuple[int, SourceInfo | None] | JobResult | None
"""A job is open, with its source, or ready; or has ended; None wakes the loop."""


class ConcurrentJobs:
    """Run jobs, as many at once as fit the machine.

    Args:
        jobs: with the same model and method.
        explainer: the loaded model.
        capacity: what the jobs share; None measures this machine.
        one_at_a_time: run one job after another.
        callbacks: returns the callbacks of a job, by its index; called when the job begins.
        on_note: called with the index of a job and each of its notes.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        explainer: FrameExplainer,
        *,
        capacity: Capacity | None = None,
        one_at_a_time: bool = False,
        callbacks: Callable[[int], RunCallbacks] = lambda index: RunCallbacks(),
        on_note: Callable[[int, str], object] = lambda index, text: None,
    ) -> None:
        self._explainer = explainer
        self._capacity = capacity or Capacity.of_this_machine(explainer.pool.devices)
        self._one_at_a_time = one_at_a_time
        self._callbacks, self._on_note = callbacks, on_note
        self._waiting = deque(enumerate(jobs))
        self._running: dict[int, _Running] = {}
        self._video_demand = self._capacity.expected_demand(is_image=False)
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._stopped = threading.Event()
        self._num_unfinished = 0

    @property
    def interrupted(self) -> bool:
        """True if `stop` kept a job from its end."""
        return self._stopped.is_set() and bool(self._num_unfinished or self._waiting)

    def stop(self) -> None:
        """Begin no more jobs, and end those in progress.

        Their outputs so far are closed and playable.

        Callable from any thread and from a signal handler.
        """
        self._stopped.set()
        self._events.put(None)

    def __iter__(self) -> Iterator[JobResult]:
        """Run the jobs, and yield results as jobs end.

        An interrupt (`KeyboardInterrupt`) in the caller's thread stops the jobs; it is raised when they have ended.
        """
        with StageGroup() as group:
            try:
                while not self._stopped.is_set() and (self._waiting or self._running):
                    self._start_jobs(group)
                    if (result := self._handle(self._events.get())) is not None:
                        yield result
                yield from self._end_jobs()
            except BaseException:
                self._stopped.set()
                for _ in self._end_jobs():
                    pass
                raise

    def _start_jobs(self, group: StageGroup) -> None:
        """Begin the next job if it fits and no other compiles."""
        if not self._waiting or not all(job.is_ready for job in self._running.values()):
            return
        index, job = self._waiting[0]
        is_image = SINKS.get(job.sink.path.suffix.lower(), "").endswith(":ImageSink")
        expected = self._capacity.expected_demand(is_image=True) if is_image else self._video_demand
        running = [one.demand for one in self._running.values()]
        if running and (self._one_at_a_time or not self._capacity.has_room(running, expected)):
            return
        self._waiting.popleft()
        self._running[index] = _Running(expected, job.sink, is_image)
        callbacks = self._watch(index, self._callbacks(index))
        group.spawn(lambda: self._run(index, job, callbacks), stop=self._stopped.set, name=f"input-{index}")

    def _run(self, index: int, job: Job, callbacks: RunCallbacks) -> None:
        """Run one job, in its own thread."""
        result = JobResult(index)
        try:
            with collect_notes(lambda text: self._on_note(index, text)):
                result = JobResult(index, run(job, explainer=self._explainer, callbacks=callbacks))
        except Interrupted as stop:
            result = JobResult(index, stop.summary)
        except Exception as error:
            result = JobResult(index, error=error)
        except KeyboardInterrupt:
            pass  # stopped before its first frame
        finally:
            self._events.put(result)

    def _watch(self, index: int, callbacks: RunCallbacks) -> RunCallbacks:
        """Return callbacks that also inform the loop, and stop the job."""

        def on_open(info: SourceInfo) -> None:
            self._raise_if_stopped()
            self._events.put((index, info))
            callbacks.on_open(info)

        def on_ready() -> None:
            self._raise_if_stopped()
            self._events.put((index, None))
            callbacks.on_ready()

        def on_frame(item: ExplainedFrame) -> None:
            callbacks.on_frame(item)
            self._raise_if_stopped()

        return replace(callbacks, on_open=on_open, on_ready=on_ready, on_frame=on_frame, on_wait=self._raise_if_stopped)

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt

    def _handle(self, event: _Event) -> JobResult | None:
        """Note an event; return the result if a job has ended with one."""
        if event is None:
            return None
        if isinstance(event, JobResult):
            del self._running[event.index]
            if event.error is None and (event.summary is None or event.summary.interrupted):
                self._num_unfinished += 1
            return event if event.summary or event.error else None
        index, info = event
        job = self._running[index]
        if info is None:
            job.is_ready = True
            return None
        encoders, encoder_bytes = encoder_demand(job.sink, info)
        job.demand = self._capacity.demand(info, encoders=encoders, encoder_bytes=encoder_bytes)
        if not job.is_image:
            self._video_demand = job.demand  # the next one is probably like it
        return None

    def _end_jobs(self) -> Iterator[JobResult]:
        """Yield the results of stopped jobs; wait some seconds for those without output."""
        end = time.monotonic() + _OPENING_SECONDS
        while self._running:
            timeout = None if any(job.is_ready for job in self._running.values()) else max(0.0, end - time.monotonic())
            try:
                event = self._events.get(timeout=timeout)
            except Empty:
                self._num_unfinished += len(self._running)
                return
            if (result := self._handle(event)) is not None:
                yield result
