"""Where the frames of a camera stand in time: their clock, their pace, and how far decoding is behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

TICKS = 90_000
"""Ticks of a camera's clock in a second."""

_LONGEST = 60.0
"""Seconds; a longer wait for the next frame is a jump in the stream's time."""
_NOISE = 0.005
"""Seconds that a read may take without having waited for the peer."""


class Clock:
    """Time stamps that keep increasing while the stream's own start over with each connection.

    Args:
        tolerance: seconds by which a time stamp may differ from the frame's arrival.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._shift: int | None = None
        self._last = -1

    def connected(self) -> None:
        """A new connection begins: its first frame stands where it arrives."""
        self._shift = None

    def place(self, streamed: Fraction | None, arrived: float) -> int:
        """The pts of the next frame, in ticks, greater than every one before.

        Args:
            streamed: the frame's time in its stream, in seconds; None where the stream does not tell.
            arrived: seconds on the clock that goes on.
        """
        now = round(arrived * TICKS)
        if streamed is None:
            placed = now
        else:
            stamp = round(streamed * TICKS)
            if self._shift is None or abs(stamp + self._shift - now) > self._tolerance * TICKS:
                self._shift = now - stamp
            placed = stamp + self._shift
        self._last = max(placed, self._last + 1)
        return self._last


class Pace:
    """Holds frames that come faster than they were recorded back until it is their time.

    Args:
        max_age: seconds; who is later than that starts over from now, and nothing is hurried.
        wait: waits so many seconds, or less where it is interrupted.
    """

    def __init__(self, max_age: float, wait: Callable[[float], object]) -> None:
        self._max_age = max_age
        self._wait = wait
        self._begin: float | None = None

    def hold(self, streamed: Fraction) -> None:
        """Waits until a frame is due, whose time in its stream is ``streamed`` seconds."""
        now = time.monotonic()
        early = None if self._begin is None else self._begin + float(streamed) - now
        if early is None or not -self._max_age <= early <= _LONGEST:
            self._begin = now - float(streamed)
        elif early > 0:
            self._wait(early)


class Lateness:
    """Tells which packets of a live stream to leave out, so that no delay builds up in front of a slow decoder.

    A decoder that takes longer than the stream lasts lets packets wait in the socket's buffer, where nobody sees their
    age. It is summed up instead: what was spent on each packet, less what the stream went on meanwhile. A read that
    had to wait for the peer shows that nothing is left in the buffer. So neither a network that halts for a moment
    nor a stream whose clock runs wrong is taken for a slow decoder.

    Attributes:
        behind: seconds of stream that are estimated to wait.
    """

    def __init__(self, max_age: float) -> None:
        """Begins with nothing waiting.

        Args:
            max_age: seconds behind, from which on packets are left out until the next key frame.
        """
        self.behind = 0.0
        self._max_age = max_age
        self._skipping = False

    def leaves_out(self, *, step: Fraction | None, busy: float, waited: float, key: bool) -> bool:
        """Whether to leave the packet out that was just read.

        Args:
            step: seconds of stream since the packet before; None where it is not known.
            busy: seconds from then until this one was asked for.
            waited: seconds that reading it took.
            key: True where decoding can begin with it.
        """
        if step is None or waited > max(float(step) / 2, _NOISE):
            self.behind = 0.0
        else:
            self.behind = max(0.0, self.behind + busy - float(step))
        if self.behind > self._max_age:
            self._skipping = True
        elif key and self.behind <= self._max_age / 2:
            self._skipping = False
        return self._skipping
