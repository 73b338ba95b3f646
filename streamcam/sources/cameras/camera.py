"""A live source that is reopened whenever it is lost."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal, TypeAlias

from av.video.frame import VideoFrame
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ...errors import SourceError
from ...frames import AudioPacket, Frame, SourceInfo
from ...options import CameraOptions
from ..normalize import FrameNormalizer, rotation_filters
from . import camera_endpoint
from .clocks import TICKS_PER_SECOND, LiveClock
from .connection import Connection

logger = logging.getLogger(__name__)

CameraState: TypeAlias = Literal["opening", "live", "lost", "ended"]

_FIRST_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 10.0
"""Seconds to wait at most before the first attempt of a series, and before any attempt."""
_STABLE_SECONDS = 5.0
"""Seconds a connection must have delivered for its loss to begin a new series of attempts."""
_TIME_BASE = Fraction(1, TICKS_PER_SECOND)


class Camera:
    """Frames of a live source, over all its connections.

    One thread opens, iterates and closes it. All attributes can be read from any thread.

    Attributes:
        name: its name.
        source: URL without credentials, or path.
        state: ``opening`` until the first frame, ``live``, ``lost`` (it is reconnected), or ``ended``.
        last_error: the last error, in one line; empty while frames arrive.
        reconnects: how often it was reopened.
        dropped: packets that were not decoded, because decoding was late.
        skipped: packets that could not be decoded.
    """

    def __init__(
        self,
        options: CameraOptions,
        *,
        wait_until_ready: Callable[[SourceInfo], None] = lambda info: None,
        on_audio: Callable[[AudioPacket], object] = lambda packet: None,
    ) -> None:
        """Create the camera without opening it.

        Args:
            options: what to open, and how long to try.
            wait_until_ready: returns when the pipeline is ready for such frames; only a file waits, since it would
                end before.
            on_audio: gets the packets of the camera's audio, if ``options`` ask for them.

        Raises:
            SourceError: there is no such kind of source, or no such file.
        """
        self._options = options
        self._wait_until_ready, self._on_audio = wait_until_ready, on_audio
        self._endpoint = camera_endpoint(options)
        self.name = options.name
        self.source = self._endpoint.name
        self.state: CameraState = "opening"
        self.last_error = ""
        self.reconnects = self.dropped = self.skipped = 0
        self._stopping = threading.Event()
        self._start_time = time.monotonic()
        unpaced = self._endpoint.is_recording and not options.realtime
        self._clock = LiveClock(math.inf if unpaced else options.max_latency_seconds)
        self._num_frames = 0
        self._info: SourceInfo | None = None
        self._codec = ""

    def stop(self) -> None:
        """End the iteration, from any thread: a wait at once, a read within twice the timeout."""
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
                    yield from self._read_connection(attempt.retry_state)
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
        self._stopping.wait(seconds)

    def _should_give_up(self, retry_state: RetryCallState) -> bool:
        """Return True if the source is not to be reopened.

        Depends on the number of failed attempts in a row.
        """
        reconnect = self._options.reconnect
        if self._endpoint.is_finite or reconnect == "never" or self._stopping.is_set():
            return True
        if isinstance(reconnect, int):
            return stop_after_attempt(reconnect + 1)(retry_state)
        return reconnect == "auto" and not self._num_frames

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

    def _read_connection(self, retry_state: RetryCallState) -> Iterator[tuple[SourceInfo, Frame]]:
        """Yield the frames of one connection, from its opening to its end.

        Raises:
            SourceError: it could not be opened, or was lost.
        """
        if self._stopping.is_set():
            return
        connection = Connection(self._endpoint, self._options, self._stopping, self._report_silence)
        if self._options.audio == "copy":
            connection.copy_audio(self._clock.to_pts, self._on_audio)
        dropped, skipped = self.dropped, self.skipped
        self._clock.start_connection()
        normalizer = key = None
        first_arrival_time: float | None = None
        try:
            for frame, stream_seconds, arrival_time in connection:
                if normalizer is None or key != _normalizer_key(frame):
                    key, normalizer = _normalizer_key(frame), FrameNormalizer(frame, _TIME_BASE)
                    info = self._source_info(connection, normalizer, frame)
                first_arrival_time = first_arrival_time or arrival_time
                if self.state != "live":
                    self._report_recovery()
                self.dropped, self.skipped = dropped + connection.dropped, skipped + connection.skipped
                if self._endpoint.can_wait and not self._num_frames:
                    self._wait_until_ready(info)
                    arrival_time = time.monotonic()
                pts = self._clock.assign_pts(stream_seconds, arrival_time - self._start_time)
                yield info, Frame(self._num_frames, pts, normalizer(frame), arrival_time=arrival_time)
                self._num_frames += 1
            if first_arrival_time is None and not self._stopping.is_set():
                raise SourceError(f"{self.source} has no frame that can be decoded")
        except SourceError:
            if first_arrival_time is not None and time.monotonic() - first_arrival_time > _STABLE_SECONDS:
                retry_state.attempt_number = 1
            raise
        finally:
            self.dropped, self.skipped = dropped + connection.dropped, skipped + connection.skipped
            connection.close()

    def _source_info(self, connection: Connection, normalizer: FrameNormalizer, frame: VideoFrame) -> SourceInfo:
        """Return the source's properties.

        The same object as before if they have not changed.
        """
        info = SourceInfo(
            name=self.source,
            width=normalizer.width,
            height=normalizer.height,
            pixel_format=normalizer.pixel_format,
            time_base=_TIME_BASE,
            color=normalizer.color,
            pixel_aspect=1 / connection.pixel_aspect
            if "transpose" in rotation_filters(frame)
            else connection.pixel_aspect,
            average_fps=connection.average_fps,
            live=True,
        )
        if self._info is None or (info, connection.codec) != (self._info, self._codec):
            self._info, self._codec = info, connection.codec
        return self._info


def _normalizer_key(frame: VideoFrame) -> tuple[object, ...]:
    """Return all properties of a frame that `FrameNormalizer` depends on."""
    return (
        frame.width,
        frame.height,
        frame.format.name,
        frame.rotation,
        frame.color_range,
        frame.color_primaries,
        frame.color_trc,
        frame.colorspace,
    )
