"""A live source that is reopened whenever it is lost."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from typing import Literal, TypeAlias

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ...concurrency.cpu_slots import UNLIMITED, CpuSlot
from ...errors import SourceError
from ...frames import AudioPacket, Frame, SourceInfo
from ...notes import get_logger
from ...options import CameraOptions
from . import camera_endpoint
from .capture_times import LatencySource, ReceivedFrame
from .clocks import TICKS_PER_SECOND, LiveClock
from .connection import Connection
from .frame_format import FrameFormat
from .opening import VideoMissingError
from .reader import ConnectionReader
from .silence import SilenceLimit
from .standard_input import StandardInput
from .thinning import NO_LIMIT, FrameLimit

logger = get_logger(__name__)

CameraState: TypeAlias = Literal["opening", "live", "lost", "ended"]

_FIRST_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 10.0
"""Seconds to wait at most before the first attempt of a series, and before any attempt."""
_STABLE_SECONDS = 5.0
"""Seconds a connection must have delivered for its loss to begin a new series of attempts."""
_TIME_BASE = Fraction(1, TICKS_PER_SECOND)


class Camera:
    """Frames of a live source, over all its connections.

    One thread iterates it; each connection has a thread of its own, which is abandoned if its peer falls silent. All
    attributes can be read from any thread.

    Attributes:
        name: its name.
        source: URL without credentials, or path.
        state: ``opening`` until the first frame, ``live``, ``lost`` (it is reconnected), or ``ended``.
        last_error: the last error, in one line; empty while frames arrive.
        reconnects: how often it was reopened.
        dropped: packets and frames dropped because decoding was late, or because of ``frame_limit``.
        thinned: those of them because of ``frame_limit``.
        skipped: packets that could not be decoded.
        cpu_seconds: CPU time of reading and decoding.
        latency_source: from where latencies count; see `CaptureTimes`.
    """

    def __init__(
        self,
        options: CameraOptions,
        *,
        wait_until_ready: Callable[[SourceInfo], None] = lambda info: None,
        on_audio: Callable[[AudioPacket], object] = lambda packet: None,
        frame_limit: Callable[[], FrameLimit] = lambda: NO_LIMIT,
        may_give_up: Callable[[], bool] = lambda: True,
        cpu_slot: CpuSlot = UNLIMITED,
    ) -> None:
        """Create the camera without opening it.

        Args:
            options: what to open, and how long to try.
            wait_until_ready: returns when the pipeline is ready for such frames; only a recording waits, since it
                would end before.
            on_audio: gets the packets of the camera's audio, if ``options`` ask for them.
            frame_limit: returns how many frames to yield.
            may_give_up: returns whether a camera that was never reached may be given up under ``reconnect="auto"``.
            cpu_slot: entered while a frame is decoded.

        Raises:
            SourceError: there is no such kind of source, or no such file.
        """
        self._options = options
        self._wait_until_ready, self._on_audio = wait_until_ready, on_audio
        self._frame_limit, self._may_give_up, self._cpu_slot = frame_limit, may_give_up, cpu_slot
        self._endpoint = camera_endpoint(options)
        self.name = options.name
        self.source = self._endpoint.name
        self.state: CameraState = "opening"
        self.last_error = ""
        self.reconnects = self.dropped = self.thinned = self.skipped = 0
        self.cpu_seconds = 0.0
        self.latency_source: LatencySource = "arrival"
        self._stopping = threading.Event()
        self._start_time = time.monotonic()
        unpaced = self._endpoint.is_recording and not options.realtime
        self._clock = LiveClock(math.inf if unpaced else options.max_latency_seconds)
        self._silence = SilenceLimit(options.timeout_seconds)
        self._num_frames = 0
        self._format = FrameFormat(self.source, _TIME_BASE)
        self._standard_input = StandardInput(self._stopping, options.timeout_seconds, self._report_silence)

    def stop(self) -> None:
        """End the iteration soon, from any thread."""
        self._stopping.set()

    def __iter__(self) -> Iterator[tuple[SourceInfo, Frame]]:
        """Yield the source's properties and each frame, without ``model_input``.

        The properties are the same object until they change. Frames are counted, and time goes on, over all
        connections.

        Raises:
            SourceError: it cannot be opened, or was lost, and is not reopened.
        """
        try:
            for attempt in self._attempts():
                with attempt:
                    yield from self._read_until_end(attempt.retry_state)
        except SourceError as error:
            if not self._stopping.is_set():
                self.last_error = str(error)
                raise
        finally:
            self.state = "ended"

    def _attempts(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(SourceError),
            stop=self._should_give_up,
            wait=wait_random_exponential(multiplier=_FIRST_RETRY_SECONDS, max=_MAX_RETRY_SECONDS),
            sleep=self._wait,
            before_sleep=self._report_loss,
            reraise=True,
        )

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(max(0.0, seconds))

    def _should_give_up(self, retry_state: RetryCallState) -> bool:
        """Return True if the source is not to be reopened.

        Depends on the number of failed attempts in a row.
        """
        reconnect = self._options.reconnect
        if not self._endpoint.url and self._num_frames and not self._stopping.is_set():
            return not self._standard_input.has_more()
        if self._endpoint.is_finite or reconnect == "never" or self._stopping.is_set():
            return True
        if isinstance(reconnect, int):
            return stop_after_attempt(reconnect + 1)(retry_state)
        if reconnect == "forever" or self._num_frames or not self._may_give_up():
            return False
        error = retry_state.outcome.exception() if retry_state.outcome else None
        return not isinstance(error, VideoMissingError)

    def _report_loss(self, retry_state: RetryCallState) -> None:
        assert retry_state.outcome is not None
        assert retry_state.next_action is not None
        previous_error, self.last_error = self.last_error, str(retry_state.outcome.exception())
        self.state = "lost"
        if self.last_error != previous_error:
            logger.warning("%s: %s; retrying", self.name, self.last_error)

    def _report_silence(self, error: str) -> None:
        self.last_error = error
        self.state = "lost" if self._num_frames else "opening"
        logger.warning("%s: %s", self.name, error)

    def _report_recovery(self) -> None:
        if self.last_error:
            logger.info("%s: %s is %s", self.name, self.source, "back" if self._num_frames else "there")
            self.reconnects += bool(self._num_frames)
        self.state = "live"
        self.last_error = ""

    def _read_until_end(self, retry_state: RetryCallState) -> Iterator[tuple[SourceInfo, Frame]]:
        """Yield the frames of connections that follow each other without a loss.

        Raises:
            SourceError: a connection could not be opened, or was lost.
        """
        while not self._stopping.is_set():
            start_time = time.monotonic()
            connection = yield from self._read_connection(retry_state)
            if connection.is_snapshot:
                retry_state.attempt_number = 1
                self._wait(start_time + self._options.snapshot_seconds - time.monotonic())
            elif self._endpoint.url:
                if not (self._options.loop and connection.is_recording and self._endpoint.can_wait):
                    return
            elif not self._standard_input.has_more():
                return

    def _read_connection(self, retry_state: RetryCallState) -> Generator[tuple[SourceInfo, Frame], None, Connection]:
        """Yield the frames of one connection, from its opening to its end.

        Raises:
            SourceError: it could not be opened, or was lost.
        """
        reader = ConnectionReader(self._open)
        before = self.dropped, self.thinned, self.skipped, self.cpu_seconds
        self._clock.start_connection()
        self._silence.start_connection()
        self._format.start_connection()
        first_arrival_time: float | None = None
        frames = (
            reader.frames_in_thread(functools.partial(self._check_silence, reader))
            if self._endpoint.is_remote
            else reader.frames()
        )
        try:
            for received in frames:
                connection = reader.connection
                assert connection is not None
                first_arrival_time = first_arrival_time or received.arrival_time
                if self.state != "live":
                    self._report_recovery()
                self._count(connection, before)
                yield self._make_frame(received, connection)
                self._num_frames += 1
            if first_arrival_time is None and not self._stopping.is_set():
                raise SourceError(f"{self.source} has no frame that can be decoded")
        except SourceError:
            if first_arrival_time is not None and time.monotonic() - first_arrival_time > _STABLE_SECONDS:
                retry_state.attempt_number = 1
            raise
        finally:
            frames.close()
            if reader.connection is not None:
                self._count(reader.connection, before)
        assert reader.connection is not None
        return reader.connection

    def _make_frame(self, received: ReceivedFrame, connection: Connection) -> tuple[SourceInfo, Frame]:
        info, normalizer = self._format.update(received.video_frame, connection)
        arrival_time, capture_time = received.arrival_time, received.capture_time
        if connection.is_recording and self._endpoint.can_wait and not self._num_frames:
            self._wait_until_ready(info)
            arrival_time = capture_time = time.monotonic()
        pts = self._clock.assign_pts(received.stream_seconds, arrival_time - self._start_time)
        frame = normalizer(received.video_frame)
        return info, Frame(self._num_frames, pts, frame, arrival_time=arrival_time, capture_time=capture_time)

    def _open(self) -> Connection:
        connection = Connection(
            self._endpoint,
            self._options,
            self._stopping,
            self._silence,
            frame_limit=self._frame_limit,
            cpu_slot=self._cpu_slot,
            standard_input=self._standard_input,
        )
        if self._options.audio == "copy":
            connection.copy_audio(self._clock.to_pts, self._on_audio)
        return connection

    def _count(self, connection: Connection, before: tuple[int, int, int, float]) -> None:
        dropped, thinned, skipped, cpu_seconds = before
        self.dropped = dropped + connection.dropped + connection.thinned
        self.thinned = thinned + connection.thinned
        self.skipped = skipped + connection.skipped
        self.cpu_seconds = cpu_seconds + connection.cpu_seconds
        self.latency_source = connection.latency_source

    def _check_silence(self, reader: ConnectionReader) -> None:
        """End a wait if the camera is stopped, or silent too long.

        Raises:
            SourceError: it is.
        """
        if self._stopping.is_set():
            raise SourceError(f"{self.source} is no longer read")
        if reader.silent_seconds > self._silence.seconds:
            problem = f"{self.source} sent no data for {self._silence.seconds:.3g} s"
            self._silence.record_loss(time.monotonic())
            raise SourceError(problem)
