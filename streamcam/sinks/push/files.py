"""Files, and standard output without encoding."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from av.video.frame import VideoFrame

from ...errors import SinkError
from ...flow import Flow
from ...frames import SourceInfo
from .. import Sink, open_sink
from .fit import Fitted
from .places import sink_options
from .wire import TIME_BASE, Order, colour_of, planes_sent, write_some

_CLOSING = 2


def _sink(order: Order, path: Path, picture: VideoFrame) -> Sink:
    info = SourceInfo(
        name="the camera",
        width=picture.width,
        height=picture.height,
        pixel_format=picture.format.name,
        time_base=TIME_BASE,
        colour=colour_of(picture),
        rate=order.rate,
        live=True,
    )
    return open_sink(sink_options(order.options, path), info)


class File:
    """One file, of the first picture's size.

    Args:
        order: what is to be written.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._sink: Sink | None = None

    def write(self, picture: VideoFrame, pts: int) -> None:
        """Writes a picture; the first is at time 0.

        Raises:
            SinkError: see `streamcam.sinks.Sink.write`.
        """
        if self._sink is None:
            self._sink = _sink(self._order, Path(self._order.options.to), picture)
            self._fitted, self._first = Fitted(picture), pts
        try:
            self._sink.write(self._fitted(picture), pts - self._first)
        except SinkError as error:
            self._sink.__exit__(type(error), error, None)
            raise

    def close(self) -> None:
        """Completes the file; see `streamcam.sinks.Sink.__exit__`."""
        if self._sink is not None:
            self._sink.__exit__(None, None, None)


def write_segments(order: Order, arriving: Iterable[tuple[VideoFrame, int]], begun: Callable[[], None]) -> None:
    """Writes files one after another; each is completed while the next is written, so that no picture waits.

    A new one begins where the time is over, and where the pictures change.

    Args:
        order: what is to be written.
        arriving: pictures and their times.
        begun: called after the first picture.

    Raises:
        SinkError: see `streamcam.sinks.Sink`.
    """
    with Flow() as flow:
        for sink in flow.ahead(_written(order, arriving, begun), depth=_CLOSING, name="segments"):
            sink.__exit__(None, None, None)


def _written(order: Order, arriving: Iterable[tuple[VideoFrame, int]], begun: Callable[[], None]) -> Iterator[Sink]:
    """Sinks into which nothing more is to be written."""
    assert order.options.segment is not None
    longest = round(order.options.segment / TIME_BASE)
    sink: Sink | None = None
    first, like = 0, None
    for picture, pts in arriving:
        now = picture.width, picture.height, picture.format.name, colour_of(picture)
        if sink is None or now != like or pts - first >= longest:
            if sink is not None:
                yield sink
            sink = _sink(order, _free_name(Path(order.options.to)), picture)
            first, like = pts, now
        try:
            sink.write(picture, pts - first)
        except SinkError as error:
            sink.__exit__(type(error), error, None)
            raise
        begun()
    if sink is not None:
        yield sink


def _free_name(path: Path) -> Path:
    """``stem-YYYYMMDD-HHMMSS.suffix`` by this place's time; with a number behind where there is one already."""
    stem = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}{f'-{number}' if number else ''}{path.suffix}" for number in itertools.count())
    return next(free for name in names if not (free := path.with_name(name)).exists())


class Raw:
    """YUV4MPEG2 on standard output, of the first picture's size.

    Args:
        order: what is to be written.
    """

    def __init__(self, order: Order) -> None:
        self._rate = order.rate
        self._fitted: Fitted | None = None

    def write(self, picture: VideoFrame, pts: int) -> None:
        """Writes a picture; the format has no time stamps.

        Raises:
            SinkError: nobody reads any more.
        """
        views = [memoryview(b"FRAME\n")]
        if self._fitted is None:
            self._fitted = Fitted(picture)
            views = [memoryview(self._header()), *views]
        views += planes_sent(self._fitted(picture))
        try:
            while views:
                views = write_some(1, views)
        except BrokenPipeError as error:
            raise SinkError("nobody reads standard output any more") from error
        except OSError as error:
            raise SinkError(f"standard output cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held back."""

    def _header(self) -> bytes:
        assert self._fitted is not None
        layout = "420mpeg2" if self._fitted.format == "yuv420p" else "420p10 XYSCSS=420P10"
        meant = "FULL" if self._fitted.colour.range == 2 else "LIMITED"
        rate = f"{self._rate.numerator}:{self._rate.denominator}"
        size = f"W{self._fitted.width} H{self._fitted.height}"
        return f"YUV4MPEG2 {size} F{rate} Ip A1:1 C{layout} XCOLORRANGE={meant}\n".encode()
