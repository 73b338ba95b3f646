"""Live outputs, each pushed by its own worker process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_random_exponential

from ...errors import SinkError, redact_url
from ...notes import get_logger
from ...options import OutputOptions
from .destinations import check_destination
from .protocol import TIME_BASE, Item, WorkerConfig
from .worker import WorkerError, WorkerProcess

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ...frames import AudioPacket

logger = get_logger(__name__)

_FILL_SECONDS = 0.25
"""Seconds between two frames that fill a silence of the camera."""
_FILL_DELAY_SECONDS = 0.5
"""Seconds by which they stay behind, so that the camera's next frame is not earlier."""
_MAX_FILL_BACKLOG_SECONDS = 5.0
"""Seconds; a longer time that was not filled, because this process stood still, remains a gap."""

_MAX_AUDIO_PACKETS = 500
"""Audio packets that may wait, about ten seconds."""

_MIN_RETRY_SECONDS, _FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.1, 0.5, 10.0


class PushOutput:
    """Pushes one camera's frames to one output, from a worker process.

    A failed worker is replaced without limit if its destination is on the network. For HLS and segmented files it is
    replaced if it was killed or file descriptors were short, and writing goes on there. Any other failure is final, and
    the files written so far are kept.

    Args:
        options: of the output. HLS continues a playlist that streamcam wrote.
        fps: nominal frames per second.
        live: `submit` drops the oldest frame instead of waiting for space.
        inputs: paths and URLs of the inputs, which must not be written to.
        make_filler: returns the frame to push while the camera is silent; gets its last frame and the seconds since.
            None pushes nothing then.

    Attributes:
        url: destination, without credentials.
        state: ``starting``, ``running``, ``waiting`` (before a restart) or ``ended``.
        last_error: the last error, in one line; empty once the output has recovered.
        failed: True if it ended by a failure. A peer lost after `close` does not count; a file that cannot be
            completed does.
        num_frames: frames of the camera that were handed to a worker.
        dropped: frames dropped because the queue was full.
        restarts: processes that were replaced.
        shutdown_timeout_seconds: seconds after `close` within which `run` returns.
    """

    def __init__(
        self,
        options: OutputOptions,
        *,
        fps: Fraction = Fraction(25),
        live: bool = True,
        inputs: Sequence[str] = (),
        make_filler: Callable[[VideoFrame, float], VideoFrame] | None = None,
    ) -> None:
        """Check the output before the first frame; create no file.

        Raises:
            SinkError, OptionError: see `streamcam.sinks.push.destinations.check_destination`.
        """
        self._destination = check_destination(options, fps, inputs)
        self._config = WorkerConfig(options, fps)
        self._live = live
        self.url = redact_url(options.url)
        self.state: Literal["starting", "running", "waiting", "ended"] = "starting"
        self.last_error = ""
        self.failed = False
        self.num_frames = self.dropped = self.restarts = 0
        self.shutdown_timeout_seconds = self._destination.shutdown_timeout_seconds
        self._closing = threading.Event()
        self._condition = threading.Condition()
        self._queue: deque[tuple[VideoFrame, int]] = deque()
        self._audio_queue: deque[AudioPacket] = deque(maxlen=_MAX_AUDIO_PACKETS)
        self._audio_stream: AudioPacket | None = None
        self._announced_stream: AudioPacket | None = None
        self._worker: WorkerProcess | None = None
        self._running_since = float("inf")
        self._make_filler = make_filler
        self._last: tuple[VideoFrame, int, float] | None = None
        self._filled_pts = 0
        self._warned: set[str] = set()

    def submit(self, video_frame: VideoFrame, pts: int) -> None:
        """Queue a frame to be pushed; call it from one thread.

        Does nothing after the end.

        Args:
            video_frame: in a working format, of even sides. It is read later, and must not change.
            pts: in 1/90000 s, greater than the one before.
        """
        with self._condition:
            while not (self._live or len(self._queue) < self._destination.queue_depth or self._is_over):
                self._condition.wait()
            if self._is_over:
                return
            if len(self._queue) == self._destination.queue_depth:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append((video_frame, pts))
            self._last, self._filled_pts = (video_frame, pts, time.monotonic()), pts
            if self._worker is not None:
                self._worker.wake()

    def submit_audio(self, packet: AudioPacket) -> None:
        """Queue an audio packet of the camera; the oldest is dropped if too many wait.

        Args:
            packet: on the clock of the frames; without data to announce the stream, before the first frame.
        """
        with self._condition:
            if self._is_over:
                return
            if packet.data:
                self._audio_queue.append(packet)
            else:
                self._audio_stream, self._announced_stream = packet, None
            if self._worker is not None:
                self._worker.wake()

    def close(self) -> None:
        """Ask `run` to end; queued frames are still pushed, within `shutdown_timeout_seconds`.

        Returns at once. Callable from any thread, and more than once.
        """
        with self._condition:
            self._closing.set()
            self._condition.notify_all()
            if self._worker is not None:
                self._worker.wake()

    def run(self) -> None:
        """Push until `close` or a final failure.

        No process is left when it returns.
        """
        attempts = Retrying(
            retry=retry_if_exception(self._may_recover),
            wait=wait_random_exponential(
                multiplier=_FIRST_RETRY_SECONDS, min=_MIN_RETRY_SECONDS, max=_MAX_RETRY_SECONDS
            ),
            before_sleep=self._before_retry,
            sleep=sleep_using_event(self._closing),
            reraise=True,
        )
        try:
            for attempt in attempts:
                with attempt:
                    if not (self._closing.is_set() and self.restarts):
                        self._run_worker()
                if time.monotonic() - self._running_since > _MAX_RETRY_SECONDS:
                    attempt.retry_state.attempt_number = 1
        except SinkError as error:
            self.last_error = str(error)
            self.failed = not (self._closing.is_set() and (self._destination.network or self._destination.stdout))
            logger.warning("%s", self.last_error)
        finally:
            with self._condition:
                self.state = "ended"
                self.dropped += len(self._queue)
                self._queue.clear()
                self._condition.notify_all()

    @property
    def _is_over(self) -> bool:
        return self._closing.is_set() or self.state == "ended"

    def _may_recover(self, error: BaseException) -> bool:
        if not isinstance(error, WorkerError) or self._closing.is_set():
            return False
        policy = self._destination.restart_policy
        return (
            (policy == "always" and error.lost)
            or (policy == "killed" and error.killed)
            # A file is not begun a second time.
            or (error.busy and (policy != "never" or not error.started))
        )

    def _before_retry(self, attempt: RetryCallState) -> None:
        assert attempt.outcome
        previous_error, self.last_error = self.last_error, str(attempt.outcome.exception())
        self.state = "waiting"
        self.restarts += 1
        if self.last_error != previous_error:
            logger.warning("%s; retrying", self.last_error)

    def _run_worker(self) -> None:
        """Run one worker process until it ends."""
        self.state, self._running_since = "starting", float("inf")
        self._announced_stream = None
        with WorkerProcess(
            self._config,
            self._destination,
            self._pop_item,
            self._on_running,
            self._on_warning,
            self._closing,
            poll_seconds=_FILL_SECONDS if self._make_filler else None,
        ) as worker:
            with self._condition:
                self._worker = worker
            try:
                worker.serve()
            finally:
                with self._condition:
                    self._worker = None

    def _pop_item(self) -> Item | None:
        """Return what to send next: the stream's description first, then by time."""
        with self._condition:
            if self._announced_stream is not self._audio_stream:
                self._announced_stream = self._audio_stream
                return self._audio_stream
            if self._audio_queue and (not self._queue or self._audio_queue[0].pts <= self._queue[0][1]):
                return self._audio_queue.popleft()
            if self._queue:
                self.num_frames += 1
                self._condition.notify_all()
                return self._queue.popleft()
            last, pts = self._last, self._next_filler_pts()
        if last is None or pts is None or self._make_filler is None:
            return None
        return self._make_filler(last[0], time.monotonic() - last[2]), pts

    def _next_filler_pts(self) -> int | None:
        """Return the pts of the filler that is due.

        None if none is.
        """
        if self._make_filler is None or self._last is None or self._closing.is_set():
            return None
        _, pts, submit_time = self._last
        due_pts = pts + round((time.monotonic() - submit_time - _FILL_DELAY_SECONDS) / TIME_BASE)
        next_pts = self._filled_pts + round(_FILL_SECONDS / TIME_BASE)
        if next_pts > due_pts:
            return None
        if due_pts - next_pts > _MAX_FILL_BACKLOG_SECONDS / TIME_BASE:
            next_pts = due_pts
        self._filled_pts = next_pts
        return next_pts

    def _on_running(self) -> None:
        self.state, self._running_since = "running", time.monotonic()
        if self.last_error:
            self.last_error = ""
            logger.info("%s is written again", self.url)

    def _on_warning(self, line: str) -> None:
        """Log a warning once, not again for each segment or restart."""
        if line not in self._warned:
            self._warned.add(line)
            logger.warning("%s: %s", self.url, line)
