"""Pictures that are pushed to where they are wanted, by a process of its own for each place."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_random_exponential

from ..config import OutletOptions
from ..errors import SinkError, masked
from .push.child import Child, ChildError
from .push.places import check
from .push.wire import Order

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SHORTEST_PAUSE, _FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 0.5, 10.0


class Outlet:
    """Pushes one camera's pictures to one place, from a process of its own that is replaced when it fails.

    A place in the network is tried again for as long as it takes; HLS and files that follow one another go on where
    their process was killed. Any other failure is the end, and what was written is kept.

    Args:
        options: where to and how. HLS with ``overwrite`` goes on with the list there is.
        say: takes one line for each failure, in the thread of `run`.
        rate: frames a second, as far as is known.
        live: `offer` drops the oldest picture instead of waiting for room.
        inputs: what is read meanwhile, and must not be written to.

    Attributes:
        to: where to, without credentials.
        state: ``starting``, ``running``, ``waiting`` (it failed, and is tried again) or ``ended``.
        trouble: what was wrong last, in one line; it may be well again.
        failed: it ended by a failure. That a peer is lost once the end is asked for is none; a file that cannot be
            completed then is one.
        frames: pictures handed to a process.
        dropped: pictures for which there was no room.
        restarts: processes that were replaced.
        grace: seconds after `close` within which `run` returns.
    """

    def __init__(
        self,
        options: OutletOptions,
        say: Callable[[str], None] = lambda line: None,
        *,
        rate: Fraction = Fraction(25),
        live: bool = True,
        inputs: Sequence[str] = (),
    ) -> None:
        """Checks all that can be checked before the first picture; creates nothing.

        Raises:
            SinkError, OptionError: see `streamcam.sinks.push.places.check`.
        """
        self._kind = check(options, rate, inputs)
        self._order = Order(options, rate)
        self._say = say
        self._live = live
        self.to = masked(options.to)
        self.state: Literal["starting", "running", "waiting", "ended"] = "starting"
        self.trouble = ""
        self.failed = False
        self.frames = self.dropped = self.restarts = 0
        self.grace = self._kind.grace
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[VideoFrame, int]] = deque()
        self._child: Child | None = None
        self._since = float("inf")

    def offer(self, picture: VideoFrame, pts: int) -> None:
        """Leaves a picture to be pushed, to be called from one thread. Nothing happens after the end.

        Args:
            picture: in a drawable format, of even sides. It is read later, and must not change any more.
            pts: in 1/90000 s, greater than the one before.
        """
        with self._changed:
            while not (self._live or len(self._waiting) < self._kind.waiting or self._over):
                self._changed.wait()
            if self._over:
                return
            if len(self._waiting) == self._kind.waiting:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append((picture, pts))
            if self._child is not None:
                self._child.ring()

    def close(self) -> None:
        """Asks `run` to come to an end; what was offered is still pushed, as far as that is done within `grace`.

        Returns at once. Callable from any thread, and more than once.
        """
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
            if self._child is not None:
                self._child.ring()

    def run(self) -> None:
        """Pushes until `close`, or a failure that is the end. No process is left when it returns."""
        attempts = Retrying(
            retry=retry_if_exception(self._may_recover),
            wait=wait_random_exponential(multiplier=_FIRST_PAUSE, min=_SHORTEST_PAUSE, max=_LONGEST_PAUSE),
            before_sleep=self._wait,
            sleep=sleep_using_event(self._closing),
            reraise=True,
        )
        try:
            for attempt in attempts:
                with attempt:
                    if not (self._closing.is_set() and self.restarts):
                        self._push()
                if time.monotonic() - self._since > _LONGEST_PAUSE:
                    attempt.retry_state.attempt_number = 1
        except SinkError as error:
            self.trouble = str(error)
            self.failed = not (self._closing.is_set() and (self._kind.network or self._kind.stdout))
            self._say(self.trouble)
        finally:
            with self._changed:
                self.state = "ended"
                self.dropped += len(self._waiting)
                self._waiting.clear()
                self._changed.notify_all()

    @property
    def _over(self) -> bool:
        return self._closing.is_set() or self.state == "ended"

    def _may_recover(self, error: BaseException) -> bool:
        if not isinstance(error, ChildError) or self._closing.is_set():
            return False
        return (self._kind.again == "always" and error.lost) or (self._kind.again == "killed" and error.killed)

    def _wait(self, attempt: RetryCallState) -> None:
        assert attempt.outcome
        before, self.trouble = self.trouble, str(attempt.outcome.exception())
        self.state = "waiting"
        self.restarts += 1
        if self.trouble != before:
            self._say(f"{self.trouble}; it is tried again")

    def _push(self) -> None:
        """The life of one process."""
        self.state, self._since = "starting", float("inf")
        with Child(self._order, self._kind, self._take, self._run, self._closing) as child:
            with self._changed:
                self._child = child
            try:
                child.serve()
            finally:
                with self._changed:
                    self._child = None

    def _take(self) -> tuple[VideoFrame, int] | None:
        with self._changed:
            if not self._waiting:
                return None
            self.frames += 1
            self._changed.notify_all()
            return self._waiting.popleft()

    def _run(self) -> None:
        self.state, self._since = "running", time.monotonic()
