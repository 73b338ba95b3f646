"""A live source that is opened again whenever it is lost."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal, TypeAlias

from av.video.frame import VideoFrame
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ..config import CameraOptions
from ..errors import SourceError
from ..frames import Frame, SourceInfo
from . import address_of
from .connection import Connection
from .pace import TICKS, Clock
from .upright import Upright, turn

CameraState: TypeAlias = Literal["opening", "live", "lost", "ended"]

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 10.0
"""Seconds that are waited at most before the first try of a row, and before any."""
_STEADY = 5.0
"""Seconds a connection must have delivered for its loss to begin a new row of tries."""
_TIME_BASE = Fraction(1, TICKS)


class Camera:
    """Frames of a live source, over all its connections. One thread iterates: it opens, reads and closes there.

    Everything else can be read from any thread.

    Attributes:
        name: its name.
        source: URL without credentials, or path.
        state: ``opening`` until the first frame, ``live``, ``lost`` (it is tried again), or ``ended``.
        trouble: what was wrong last, in one line; empty while all is well.
        reconnects: how often it came back.
        dropped: packets that were left out without being decoded, because decoding was late.
        skipped: packets that could not be decoded.
    """

    def __init__(
        self,
        options: CameraOptions,
        say: Callable[[str], None] = lambda line: None,
        *,
        ready: Callable[[SourceInfo], None] = lambda info: None,
    ) -> None:
        """Opens nothing yet.

        Args:
            options: what to open, and how long to try.
            say: told in one line when it is lost and when it is back; in the iterating thread.
            ready: returns when somebody is ready for such pictures; a file can wait for that, and would be over before.

        Raises:
            SourceError: there is no such kind of source, or no such file.
        """
        self._options = options
        self._say, self._ready = say, ready
        self._address = address_of(options)
        self.name = options.name
        self.source = self._address.name
        self.state: CameraState = "opening"
        self.trouble = ""
        self.reconnects = self.dropped = self.skipped = 0
        self._stopping = threading.Event()
        self._born = time.monotonic()
        unpaced = self._address.recorded and not options.realtime
        self._clock = Clock(math.inf if unpaced else options.max_age)
        self._delivered = 0
        self._info: SourceInfo | None = None
        self._codec = ""

    def stop(self) -> None:
        """Ends the iteration, from any thread: a wait at once, a read within twice the timeout."""
        self._stopping.set()

    def __iter__(self) -> Iterator[tuple[SourceInfo, Frame]]:
        """Yields each frame, without ``pixels``, and what is known of the source.

        That is the same object for as long as nothing has changed. Frames are counted, and time goes on, over all
        connections.

        Raises:
            SourceError: it cannot be opened, or was lost, and is not to be tried again.
        """
        try:
            for attempt in self._tries():
                with attempt:
                    yield from self._connected(attempt.retry_state)
        except SourceError as error:
            if not self._stopping.is_set():
                self.trouble = str(error)
                raise
        finally:
            self.state = "ended"

    def _tries(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(SourceError),
            stop=self._given_up,
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            sleep=self._wait,
            before_sleep=self._lost,
            reraise=True,
        )

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _given_up(self, row: RetryCallState) -> bool:
        """Whether a source is not tried again, as far as the tries in a row so far tell."""
        how = self._options.reconnect
        if self._address.ends or how == "never" or self._stopping.is_set():
            return True
        if isinstance(how, int):
            return stop_after_attempt(how + 1)(row)
        return how == "auto" and not self._delivered

    def _lost(self, row: RetryCallState) -> None:
        assert row.outcome is not None
        assert row.next_action is not None
        before, self.trouble = self.trouble, str(row.outcome.exception())
        self.state = "lost"
        if self.trouble != before:
            self._say(f"{self.name}: {self.trouble}; it is tried again")

    def _silent(self, trouble: str) -> None:
        self.trouble = trouble
        self.state = "lost" if self._delivered else "opening"
        self._say(f"{self.name}: {trouble}")

    def _back(self) -> None:
        if self.trouble:
            self._say(f"{self.name}: {self.source} is {'back' if self._delivered else 'there'}")
            self.reconnects += bool(self._delivered)
        self.state = "live"
        self.trouble = ""

    def _connected(self, row: RetryCallState) -> Iterator[tuple[SourceInfo, Frame]]:
        """Frames of one connection, from its opening to its end.

        Raises:
            SourceError: it could not be opened, or was lost.
        """
        if self._stopping.is_set():
            return
        connection = Connection(self._address, self._options, self._stopping, self._silent)
        dropped, skipped = self.dropped, self.skipped
        self._clock.connected()
        upright = kind = None
        since: float | None = None
        try:
            for picture, streamed, arrived in connection:
                if upright is None or kind != _kind(picture):
                    kind, upright = _kind(picture), Upright(picture, _TIME_BASE)
                    info = self._described(connection, upright, picture)
                since = since or arrived
                if self.state != "live":
                    self._back()
                self.dropped, self.skipped = dropped + connection.dropped, skipped + connection.skipped
                if self._address.waits and not self._delivered:
                    self._ready(info)
                    arrived = time.monotonic()
                pts = self._clock.place(streamed, arrived - self._born)
                yield info, Frame(self._delivered, pts, upright(picture), arrived=arrived)
                self._delivered += 1
            if since is None and not self._stopping.is_set():
                raise SourceError(f"{self.source} has no frame that can be decoded")
        except SourceError:
            if since is not None and time.monotonic() - since > _STEADY:
                row.attempt_number = 1
            raise
        finally:
            self.dropped, self.skipped = dropped + connection.dropped, skipped + connection.skipped
            connection.close()

    def _described(self, connection: Connection, upright: Upright, picture: VideoFrame) -> SourceInfo:
        """What is known; the same object as before where that has not changed."""
        info = SourceInfo(
            name=self.source,
            width=upright.width,
            height=upright.height,
            pixel_format=upright.pixel_format,
            time_base=_TIME_BASE,
            colour=upright.colour,
            pixel_aspect=1 / connection.pixel_aspect if "transpose" in turn(picture) else connection.pixel_aspect,
            rate=connection.rate,
            live=True,
        )
        if self._info is None or (info, connection.codec) != (self._info, self._codec):
            self._info, self._codec = info, connection.codec
        return self._info


def _kind(picture: VideoFrame) -> tuple[object, ...]:
    """All of a frame that `Upright` goes by."""
    return (
        picture.width,
        picture.height,
        picture.format.name,
        picture.rotation,
        picture.color_range,
        picture.color_primaries,
        picture.color_trc,
        picture.colorspace,
    )
