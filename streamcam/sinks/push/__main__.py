"""An outlet's process, from its first line to its end."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from io import BufferedReader
from typing import Protocol

from av.video.frame import VideoFrame

from ...errors import StreamcamError
from .files import File, Raw, write_segments
from .places import Kind, kind_of
from .stream import LostError, Stream
from .wire import FAILED, LOST, Order, pictures

_LOOK_EVERY = 0.5


class _Writer(Protocol):
    def write(self, picture: VideoFrame, pts: int) -> None: ...

    def close(self) -> None: ...


def main() -> int:
    """Writes what comes in on standard input until that ends.

    Returns:
        0, or one of the codes in `streamcam.sinks.push.wire`.
    """
    # Ctrl-C is for whoever feeds it; it ends when that does.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Default action: ends the process without Python, whose lock may be held by a call that never returns.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with open(0, "rb") as file:
        line = file.readline()
        if not line:
            return 0
        order = Order.read(line)
        try:
            _write(order, kind_of(order.options), file)
        except StreamcamError as error:
            _tell(error=str(error))
            return LOST if isinstance(error, LostError) else FAILED
    return 0


def _write(order: Order, kind: Kind, file: BufferedReader) -> None:
    told = False

    def begun() -> None:
        nonlocal told
        if not told:
            told = True
            _tell(state="running")

    arriving = _increasing(pictures(file))
    if kind.name == "segments":
        write_segments(order, arriving, begun)
        return
    if kind.stdout:
        _watch_for_loneliness(kind.grace)
    writer: _Writer = (
        File(order) if kind.name == "file" else Raw(order) if kind.name == "YUV4MPEG2" else Stream(order, kind)
    )
    for picture, pts in arriving:
        writer.write(picture, pts)
        begun()
    writer.close()


def _increasing(arriving: Iterator[tuple[VideoFrame, int]]) -> Iterator[tuple[VideoFrame, int]]:
    """Without pictures whose time is not after the one before."""
    last: int | None = None
    for picture, pts in arriving:
        if last is None or pts > last:
            yield picture, pts
            last = pts


def _watch_for_loneliness(patience: float) -> None:
    """Ends the process so many seconds after nobody feeds it any more, should its reader not take what is left."""
    feed = select.poll()
    feed.register(0, 0)
    alone = 0.0

    def look(*_: object) -> None:
        nonlocal alone
        if feed.poll(0):
            alone += _LOOK_EVERY
            if alone > patience:
                os._exit(FAILED)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY, _LOOK_EVERY)


def _tell(**what: str) -> None:
    os.write(2, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    # Not by way of Python's end, where an output whose peer is lost would be closed with all patience.
    os._exit(main())
