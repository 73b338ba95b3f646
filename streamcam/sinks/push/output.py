"""Live outputs, each pushed by its own worker process."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_random_exponential

from ...errors import SinkError, redact_url
from ...options import OutputOptions
from .destinations import check_destination
from .protocol import WorkerConfig
from .worker import WorkerError, WorkerProcess

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

logger = logging.getLogger(__name__)

_MIN_RETRY_SECONDS, _FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.1, 0.5, 10.0


class PushOutput:
    """Pushes one camera's frames to one output, from a worker process.

    A failed worker is replaced without limit if its destination is on the network. For HLS and segmented files it is
    replaced if it was killed, and writing goes on there. Any other failure is final, and the files written so far are
    kept.

    Args:
        options: of the output. HLS with ``overwrite`` continues an existing playlist.
        fps: nominal frames per second.
        live: `submit` drops the oldest frame instead of waiting for space.
        inputs: paths and URLs of the inputs, which must not be written to.

    Attributes:
        url: destination, without credentials.
        state: ``starting``, ``running``, ``waiting`` (before a restart) or ``ended``.
        last_error: the last error, in one line; the output may have recovered since.
        failed: True if it ended by a failure. A peer lost after `close` does not count; a file that cannot be
            completed does.
        num_frames: frames handed to a worker.
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
        self._worker: WorkerProcess | None = None
        self._running_since = float("inf")

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
        return (self._destination.restart_policy == "always" and error.lost) or (
            self._destination.restart_policy == "killed" and error.killed
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
        with WorkerProcess(self._config, self._destination, self._pop_frame, self._on_running, self._closing) as worker:
            with self._condition:
                self._worker = worker
            try:
                worker.serve()
            finally:
                with self._condition:
                    self._worker = None

    def _pop_frame(self) -> tuple[VideoFrame, int] | None:
        with self._condition:
            if not self._queue:
                return None
            self.num_frames += 1
            self._condition.notify_all()
            return self._queue.popleft()

    def _on_running(self) -> None:
        self.state, self._running_since = "running", time.monotonic()
