"""Files, and standard output without encoding."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from av.video.frame import VideoFrame

from ...concurrency.group import StageGroup
from ...errors import SinkError
from ...frames import SourceInfo
from ...media.color import color_tags
from ...media.letterbox import Letterboxer
from .. import Sink, open_sink
from .destinations import sink_options
from .protocol import TIME_BASE, WorkerConfig, plane_bytes, write_available

_CLOSE_QUEUE_DEPTH = 2


def _open_sink(config: WorkerConfig, path: Path, frame: VideoFrame) -> Sink:
    info = SourceInfo(
        name="the camera",
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        time_base=TIME_BASE,
        color=color_tags(frame),
        average_fps=config.fps,
        live=True,
    )
    return open_sink(sink_options(config.options, path), info)


class FileWriter:
    """One file that has the first frame's size.

    Args:
        config: of the worker.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._sink: Sink | None = None

    def write(self, frame: VideoFrame, pts: int) -> None:
        """Write a frame; the first is at time 0.

        Raises:
            SinkError: see `streamcam.sinks.Sink.write`.
        """
        if self._sink is None:
            self._sink = _open_sink(self._config, Path(self._config.options.url), frame)
            self._letterboxer, self._first_pts = Letterboxer(frame), pts
        try:
            self._sink.write(self._letterboxer(frame), pts - self._first_pts)
        except SinkError as error:
            self._sink.__exit__(type(error), error, None)
            raise

    def close(self) -> None:
        """Complete the file; see `streamcam.sinks.Sink.__exit__`."""
        if self._sink is not None:
            self._sink.__exit__(None, None, None)


def write_segments(
    config: WorkerConfig, frames: Iterable[tuple[VideoFrame, int]], on_frame_written: Callable[[], None]
) -> None:
    """Write files one after another.

    Each is completed while the next is written, so that no frame waits.

    A new one begins after the segment time, or when the frames' format changes.

    Args:
        config: of the worker.
        frames: with their pts.
        on_frame_written: called after the first frame.

    Raises:
        SinkError: see `streamcam.sinks.Sink`.
    """
    with StageGroup() as group:
        for sink in group.prefetch(
            _fill_segments(config, frames, on_frame_written), depth=_CLOSE_QUEUE_DEPTH, name="segments"
        ):
            sink.__exit__(None, None, None)


def _fill_segments(
    config: WorkerConfig, frames: Iterable[tuple[VideoFrame, int]], on_frame_written: Callable[[], None]
) -> Iterator[Sink]:
    """Sinks that are complete, to be closed."""
    assert config.options.segment_seconds is not None
    max_ticks = round(config.options.segment_seconds / TIME_BASE)
    sink: Sink | None = None
    first_pts, segment_format = 0, None
    for frame, pts in frames:
        frame_format = frame.width, frame.height, frame.format.name, color_tags(frame)
        if sink is None or frame_format != segment_format or pts - first_pts >= max_ticks:
            if sink is not None:
                yield sink
            sink = _open_sink(config, _free_path(Path(config.options.url)), frame)
            first_pts, segment_format = pts, frame_format
        try:
            sink.write(frame, pts - first_pts)
        except SinkError as error:
            sink.__exit__(type(error), error, None)
            raise
        on_frame_written()
    if sink is not None:
        yield sink


def _free_path(path: Path) -> Path:
    """Return ``stem-YYYYMMDD-HHMMSS.suffix`` in local time, with a number appended if it exists."""
    stem = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}{f'-{number}' if number else ''}{path.suffix}" for number in itertools.count())
    return next(free for name in names if not (free := path.with_name(name)).exists())


class Y4mWriter:
    """YUV4MPEG2 on standard output, in the first frame's size.

    Args:
        config: of the worker.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._fps = config.fps
        self._letterboxer: Letterboxer | None = None

    def write(self, frame: VideoFrame, pts: int) -> None:
        """Write a frame; the format has no timestamps.

        Raises:
            SinkError: the reader has closed standard output.
        """
        views = [memoryview(b"FRAME\n")]
        if self._letterboxer is None:
            self._letterboxer = Letterboxer(frame)
            views = [memoryview(self._header()), *views]
        views += plane_bytes(self._letterboxer(frame))
        try:
            while views:
                views = write_available(1, views)
        except BrokenPipeError as error:
            raise SinkError("the reader of standard output closed it") from error
        except OSError as error:
            raise SinkError(f"standard output cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Do nothing: no frames are delayed."""

    def _header(self) -> bytes:
        assert self._letterboxer is not None
        layout = "420mpeg2" if self._letterboxer.format == "yuv420p" else "420p10 XYSCSS=420P10"
        color_range = "FULL" if self._letterboxer.color.range == 2 else "LIMITED"
        fps = f"{self._fps.numerator}:{self._fps.denominator}"
        size = f"W{self._letterboxer.width} H{self._letterboxer.height}"
        return f"YUV4MPEG2 {size} F{fps} Ip A1:1 C{layout} XCOLORRANGE={color_range}\n".encode()
