"""Show live cameras with the newest maps; `run_live` reads top to bottom.

    camera ──► renderer ──────────────────────────► drawn frame ──► outputs, page
         └──► scheduler ──► inference ──► map ──┘

Each arrow passes on and never waits: frames that come too late are dropped and counted.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..concurrency.cpu_slots import CpuSlots
from ..concurrency.cpus import cpu_count
from ..concurrency.group import Cancelled, StageGroup
from ..errors import count_of
from ..job import LiveJob
from ..notes import collect_notes, get_logger
from ..options import DrawOptions
from ..sources import open_camera
from .camera_session import CameraSession
from .controller import LiveController
from .filler import Filler
from .inference import MAX_BATCH, InferenceService
from .inference_loop import inference_loop
from .load import LoadGovernor
from .renderer import CameraRenderer
from .scheduler import FairScheduler
from .stats import FrameStats
from .summary import LiveSummary, OutputError, summarize

if TYPE_CHECKING:
    from ..frames import AudioPacket
    from ..sinks.push.output import PushOutput
    from .status import Controller

logger = get_logger(__name__)

_CONCURRENT_BATCHES = 2
"""Batches under way on each device; see `streamcam.engine.runtime.frozen_graph`."""

_EXTRA_SHUTDOWN_SECONDS = 2.0
"""Seconds that an output's thread may take longer than its process."""

_SWITCH_SECONDS = 0.05
"""Longest time that a thread keeps Python's lock while others wait; calls of C code give it up at once."""

_POLL_SECONDS = 0.5
"""Seconds between two checks of a waiting main thread; some platforms deliver signals only then."""


class _StopSignal:
    """Ends a run: on request, on an error, or after the last camera."""

    def __init__(self, stop_event: threading.Event | None) -> None:
        self.error: BaseException | None = None
        self._event = stop_event or threading.Event()

    def stop(self) -> None:
        """End the run."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """True once the run is to end."""
        return self._event.is_set()

    def guard(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return ``work`` wrapped so that its error ends the run."""

        def run_guarded() -> None:
            try:
                work()
            except Cancelled:
                raise
            except BaseException as error:
                self.error = self.error or error
                self._event.set()

        return run_guarded

    def wait(self, seconds: float | None) -> None:
        """Wait for the end, at most ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._event.is_set():
            remaining = _POLL_SECONDS if deadline is None else min(_POLL_SECONDS, deadline - time.monotonic())
            if remaining <= 0:
                return
            self._event.wait(remaining)


def live_draw_options(draw: DrawOptions) -> DrawOptions:
    """Return drawing options with the size of live captions.

    In a tile of the page or on a phone a frame is about 220 pixels high, and text of the usual size only 7 to 10.
    """
    return replace(draw, caption_size=draw.caption_size or 1.4)


def run_live(
    job: LiveJob,
    *,
    serve: Callable[[Controller], AbstractContextManager[Any]] | None = None,
    stop_event: threading.Event | None = None,
) -> LiveSummary:
    """Show cameras until they end, time is up, or the user stops.

    Args:
        job: what to do.
        serve: opens a user interface to the run, such as the page.
        stop_event: ends the run once it is set.

    Raises:
        OutputError: an output failed. The others are complete.
        StreamcamError: something else cannot be done, or all cameras were given up. Outputs are closed and playable.
    """
    from ..media.image_bytes import ImageEncoder
    from ..sinks.push.output import PushOutput

    started = time.monotonic()
    notes: list[str] = []

    def keep_note(line: str) -> None:
        if len(notes) < _MAX_NOTES:
            notes.append(line)

    inference = InferenceService(job.model, job.explain, len(job.cameras))
    governor = LoadGovernor(cpu_count(), job.max_explain_fps)
    cpu_slots = CpuSlots(cpu_count())
    sessions: list[CameraSession] = []

    def on_audio(camera: str, packet: AudioPacket) -> None:
        for name, output in outputs:
            if name == camera:
                output.submit_audio(packet)

    cameras = [
        open_camera(
            options,
            wait_until_ready=inference.wait_until_ready,
            on_audio=functools.partial(on_audio, options.name),
            frame_limit=governor.frame_limit,
            may_give_up=functools.partial(_no_other_runs, sessions, options.name),
            cpu_slot=cpu_slots,
        )
        for options in job.cameras
    ]
    inputs = [options.url.removeprefix("file://") for options in job.cameras]
    fillers = {camera.name: Filler(camera) for camera in cameras}
    outputs = [(name, PushOutput(options, inputs=inputs, make_filler=fillers[name])) for name, options in job.outputs]
    scheduler = FairScheduler(1, min(camera.max_latency_seconds for camera in job.cameras), job.max_explain_fps)
    renderers = []
    for camera, options in zip(cameras, job.cameras, strict=True):
        stats = FrameStats()
        renderer = CameraRenderer(
            live_draw_options(job.draw),
            job.scale,
            num_targets=len(job.explain.target),
            max_latency_seconds=options.max_latency_seconds,
            stats=stats,
            consumers=[output for name, output in outputs if name == camera.name],
            encode_jpeg=ImageEncoder().encode_jpeg,
            cpu_slot=cpu_slots,
        )
        renderers.append(renderer)
        sessions.append(CameraSession(camera, renderer, stats, inference, scheduler))
    controller = LiveController(sessions, renderers, outputs, inference)
    stop_signal = _StopSignal(stop_event)
    interrupted = no_output_left = False

    def on_camera_end(session: CameraSession) -> None:
        if all(other.ended for other in sessions):
            stop_signal.stop()
        elif session.error is not None:
            logger.warning("%s failed and is disabled: %s", session.name, session.error)
        for name, output in outputs:
            if name == session.name:
                output.close()

    def run_output(output: PushOutput) -> None:
        nonlocal no_output_left
        output.run()
        states = [(other.state, other.failed) for _, other in outputs]
        if job.server is None and ("ended", True) in states and all(state == "ended" for state, _ in states):
            if not stop_signal.is_set and all(failed for _, failed in states):
                no_output_left = True
            stop_signal.stop()

    with contextlib.ExitStack() as stack:
        stack.enter_context(_rare_thread_switches())
        stack.enter_context(collect_notes(keep_note))
        if serve is not None:
            stack.enter_context(serve(controller))
        group = stack.enter_context(StageGroup())

        def on_model_loaded(devices: Sequence[str]) -> None:
            on_cpu = all(device.startswith("cpu") for device in devices)
            govern = functools.partial(governor.run, sessions, scheduler, on_cpu=on_cpu)
            group.spawn(stop_signal.guard(govern), stop=governor.stop, name="load")
            if not on_cpu:
                scheduler.depth = max(1, MAX_BATCH // len(cameras))
            for device in devices:
                for _ in range(_CONCURRENT_BATCHES):
                    work = stop_signal.guard(
                        functools.partial(inference_loop, device, scheduler.next_batch, inference.log_once)
                    )
                    group.spawn(work, stop=scheduler.stop, name=f"model-{device}")

        for _, output in outputs:
            work = stop_signal.guard(functools.partial(run_output, output))
            group.spawn(
                work,
                stop=output.close,
                name="output",
                shutdown_timeout_seconds=output.shutdown_timeout_seconds + _EXTRA_SHUTDOWN_SECONDS,
            )
        for session, renderer in zip(sessions, renderers, strict=True):
            group.spawn(stop_signal.guard(renderer.run), stop=renderer.stop, name=f"renderer-{session.name}")
            read = functools.partial(session.read, functools.partial(on_camera_end, session))
            group.spawn(stop_signal.guard(read), stop=session.stop, name=f"camera-{session.name}")
        group.spawn(
            stop_signal.guard(functools.partial(inference.work_loop, on_model_loaded)),
            stop=inference.stop,
            name="inference",
        )
        try:
            stop_signal.wait(job.duration_seconds)
        except KeyboardInterrupt:
            interrupted = True
        stop_signal.stop()
    if stop_signal.error is not None:
        raise stop_signal.error
    errors = [session.error for session in sessions if session.error]
    if len(errors) == len(sessions):
        raise errors[0]
    summary = summarize(sessions, controller, started, interrupted, notes)
    if no_output_left:
        raise OutputError("no output is left", summary, hint="the errors are listed above")
    if failures := [_name_failure(output) for _, output in outputs if output.failed]:
        raise OutputError(f"{count_of(len(failures), 'output')} failed: {'; '.join(failures)}", summary)
    return summary


def _name_failure(output: PushOutput) -> str:
    """Return the error of an output, with its name."""
    return output.last_error if output.url in output.last_error else f"{output.url}: {output.last_error}"


@contextlib.contextmanager
def _rare_thread_switches() -> Iterator[None]:
    """Let threads that wait for Python's lock wake up less often.

    Each waiting thread wakes up once an interval. With a hundred threads that takes more CPU time than the work.
    """
    interval_seconds = sys.getswitchinterval()
    sys.setswitchinterval(max(interval_seconds, _SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(interval_seconds)


def _no_other_runs(sessions: Sequence[CameraSession], name: str) -> bool:
    """Return whether no other camera delivers frames, or may yet."""
    return not any(session.name != name and session.is_promising for session in sessions)


_MAX_NOTES = 1000
"""Number of notes kept for the summary: a run may be endless."""
