"""An outlet's process, as whoever feeds it sees it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ...errors import SinkError, masked
from .places import Kind
from .wire import LOST, Order, packed, write_some

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_PACKAGE = Path(__file__).parents[2]
_DYING = 5.0
_NEVER = float("inf")


class ChildError(SinkError):
    """The process failed.

    Attributes:
        lost: its peer could not be reached or is gone, or fell silent.
        killed: by somebody else.
    """

    def __init__(self, what: str, *, do: str = "", lost: bool = False, killed: bool = False) -> None:
        super().__init__(what, do=do)
        self.lost, self.killed = lost, killed


class Child:
    """A process that writes what it is fed; ended with its ``with`` block, whatever it is in.

    One thread uses it; `ring` may be called from others meanwhile.

    Args:
        order: what it is to write.
        kind: where to.
        take: the next picture and its time; None where there is none at the moment.
        running: called once it has written the first picture.
        closing: set, before `ring`, where no more pictures follow those there are.

    Raises:
        ChildError: it cannot be started.
    """

    def __init__(
        self,
        order: Order,
        kind: Kind,
        take: Callable[[], tuple[VideoFrame, int] | None],
        running: Callable[[], None],
        closing: threading.Event,
    ) -> None:
        self._kind, self._take, self._running, self._closing = kind, take, running, closing
        self._timeout = order.options.timeout
        self._name = masked(order.options.to)
        self._rest = [memoryview(order.line())]
        self._fed = True
        self._moved = time.monotonic()
        self._end = _NEVER
        self._said, self._stray, self._reason, self._overdue = b"", "", "", ""
        self._bell, self._ringer = os.pipe()
        try:
            self._process = _started(kind)
        except OSError as error:
            self._unhang()
            raise ChildError(f"no process for {self._name} can be started: {error.strerror}", lost=True) from error
        assert self._process.stdin
        assert self._process.stderr
        self._feed, self._answers = self._process.stdin.fileno(), self._process.stderr.fileno()
        for descriptor in (self._feed, self._answers, self._bell, self._ringer):
            os.set_blocking(descriptor, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stderr):
            assert file
            file.close()
        self._unhang()

    def _unhang(self) -> None:
        os.close(self._bell)
        os.close(self._ringer)

    def ring(self) -> None:
        """Says that there is something to take, or that no more follows."""
        # A full one is heard as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self._ringer, b"\0")

    def serve(self) -> None:
        """Feeds it until no more pictures follow, and waits for its end.

        Raises:
            ChildError: it failed, or did not come to its end in time.
        """
        listening = True
        while listening:
            self._refill()
            ready = self._ready()
            if self._bell in ready:
                os.read(self._bell, 1 << 16)
            if self._feed in ready:
                self._hand_on()
            if self._answers in ready:
                listening = self._listen()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING)
        self._process.kill()
        code = self._process.wait()
        if code or self._fed:
            raise self._failure(code)

    def _refill(self) -> None:
        """Takes the next picture where the one before is handed on."""
        if not self._fed or self._rest:
            return
        # Looked at before: a picture offered ahead of the closing is not missed.
        closing = self._closing.is_set()
        taken = self._take()
        if taken is not None:
            self._rest, self._moved = packed(*taken), time.monotonic()
        elif closing:
            self._stop_feeding()

    def _stop_feeding(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._rest, self._fed = [], False

    def _hand_on(self) -> None:
        try:
            self._rest = write_some(self._feed, self._rest)
            self._moved = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            # It is gone, of which more is about to be heard; whoever goes on feeding it would do so in vain.
            self._rest, self._take = [], lambda: None

    def _ready(self) -> set[int]:
        """Waits for something to do; ends the process where it is overdue."""
        now = time.monotonic()
        if self._closing.is_set():
            self._end = min(self._end, now + self._kind.grace)
        silent = self._moved + 2 * self._timeout + _DYING if self._kind.network and self._rest else _NEVER
        limit = min(self._end, silent)
        if now >= limit and not self._overdue:
            self._overdue = "did not come to its end" if limit == self._end else "took nothing"
            self._process.kill()
        poll = select.poll()
        for descriptor in (self._answers, self._bell):
            poll.register(descriptor, select.POLLIN)
        if self._rest:
            poll.register(self._feed, select.POLLOUT)
        wait = None if limit == _NEVER or self._overdue else (limit - now) * 1000 + 1
        return {descriptor for descriptor, _ in poll.poll(wait)}

    def _listen(self) -> bool:
        """Takes in what it says; False where it says no more."""
        said = os.read(self._answers, 1 << 16)
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            answer = _parsed(line)
            if answer is None:
                self._stray = line.decode(errors="replace").strip() or self._stray
            elif "error" in answer:
                self._reason = answer["error"]
            else:
                self._running()
        return bool(said)

    def _failure(self, code: int) -> ChildError:
        if self._overdue:
            return ChildError(f"the process for {self._name} {self._overdue} in time, and was ended", lost=True)
        if code == -signal.SIGALRM:
            return ChildError(
                f"{self._name} did not answer within {self._timeout:g} s", do="check the address", lost=True
            )
        if self._reason:
            return ChildError(self._reason, lost=code == LOST)
        if code < 0:
            name = signal.Signals(-code).name
            return ChildError(f"the process for {self._name} was killed ({name})", lost=True, killed=True)
        return ChildError(f"the process for {self._name} failed: {self._stray or f'exit code {code}'}")


def _started(kind: Kind) -> subprocess.Popen[bytes]:
    paths = [str(_PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(  # noqa: S603
        # Modules are where they are for this process, and not in the folder it was started in.
        [sys.executable, "-P", "-m", f"{_PACKAGE.name}.sinks.push"],
        stdin=subprocess.PIPE,
        stdout=None if kind.stdout else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def _parsed(line: bytes) -> dict[str, str] | None:
    """What the process says in its own words, in which libraries do not speak."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
