"""Files, and standard output without encoding."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from av.video.frame import VideoFrame

from ...concurrency.group import StageGroup
from ...errors import SinkError
from ...frames import AudioPacket, SourceInfo
from ...media.color import color_tags
from ...media.letterbox import Letterboxer
from .. import Sink, open_sink
from .audio import AudioFeed
from .destinations import create_folder, sink_options
from .protocol import TIME_BASE, Item, WorkerConfig, plane_bytes, write_available

_CLOSE_QUEUE_DEPTH = 2


def _open_sink(config: WorkerConfig, path: Path, frame: VideoFrame, audio: AudioFeed) -> Sink:
    create_folder(path.parent)
    info = SourceInfo(
        name="the camera",
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        time_base=TIME_BASE,
        color=color_tags(frame),
        average_fps=config.fps,
        live=True,
        passthrough_streams=(audio.template,) if audio.template else (),
    )
    return open_sink(sink_options(config.options, path), info)


class FileWriter:
    """One file that has the first frame's size.

    Args:
        config: of the worker.
        warn: called with a line for the user.
    """

    def __init__(self, config: WorkerConfig, warn: Callable[[str], object]) -> None:
        self._config, self._warn = config, warn
        self._sink: Sink | None = None
        self._audio = AudioFeed(warn)

    def write(self, frame: VideoFrame, pts: int) -> None:
        """Write a frame; the first is at time 0.

        Raises:
            SinkError: see `streamcam.sinks.Sink.write`.
        """
        if self._sink is None:
            self._sink = _open_sink(self._config, Path(self._config.options.url), frame, self._audio)
            self._letterboxer, self._first_pts = Letterboxer(frame), pts
        try:
            self._sink.write(self._letterboxer(frame), pts - self._first_pts, self._audio.take(self._first_pts))
            _pass_notes(self._sink, self._warn)
        except SinkError as error:
            self._sink.__exit__(type(error), error, None)
            raise

    def write_audio(self, item: AudioPacket) -> None:
        """Keep an audio packet until the next frame."""
        if item.data:
            self._audio.add(item)
        elif self._audio.announce(item) and self._sink:
            self._audio.drop("the camera's audio changed and is dropped from now on")

    def close(self) -> None:
        """Complete the file; see `streamcam.sinks.Sink.__exit__`."""
        if self._sink is not None:
            self._sink.write_packets(self._audio.take(self._first_pts))
            self._sink.__exit__(None, None, None)


def _pass_notes(sink: Sink, warn: Callable[[str], object]) -> None:
    """Pass on the notes of a sink once."""
    while sink.notes:
        warn(sink.notes.pop(0))


def write_segments(
    config: WorkerConfig,
    items: Iterable[Item],
    on_frame_written: Callable[[], None],
    warn: Callable[[str], object],
) -> None:
    """Write files one after another.

    Each is completed while the next is written, so that no frame waits.

    A new one begins after the segment time, or when the frames' format changes.

    Args:
        config: of the worker.
        items: frames with their pts, and audio packets.
        on_frame_written: called after the first frame.
        warn: called with a line for the user.

    Raises:
        SinkError: see `streamcam.sinks.Sink`.
    """
    with StageGroup() as group:
        for sink in group.prefetch(
            _fill_segments(config, items, on_frame_written, warn), depth=_CLOSE_QUEUE_DEPTH, name="segments"
        ):
            sink.__exit__(None, None, None)


def _fill_segments(
    config: WorkerConfig,
    items: Iterable[Item],
    on_frame_written: Callable[[], None],
    warn: Callable[[str], object],
) -> Iterator[Sink]:
    """Sinks that are complete, to be closed."""
    assert config.options.segment_seconds is not None
    max_ticks = round(config.options.segment_seconds / TIME_BASE)
    sink: Sink | None = None
    first_pts, segment_format, audio, audio_changed = 0, None, AudioFeed(warn), False
    for item in items:
        if isinstance(item, AudioPacket):
            if item.data:
                audio.add(item)
            else:
                audio_changed = audio.announce(item) or audio_changed
            continue
        frame, pts = item
        frame_format = frame.width, frame.height, frame.format.name, color_tags(frame)
        if sink is None or frame_format != segment_format or audio_changed or pts - first_pts >= max_ticks:
            if sink is not None:
                if not audio_changed:
                    sink.write_packets(audio.take(first_pts, before_pts=pts))
                yield sink
            sink = _open_sink(config, _free_path(Path(config.options.url)), frame, audio)
            first_pts, segment_format, audio_changed = pts, frame_format, False
        try:
            sink.write(frame, pts - first_pts, audio.take(first_pts))
        except SinkError as error:
            sink.__exit__(type(error), error, None)
            raise
        _pass_notes(sink, warn)
        on_frame_written()
    if sink is not None:
        if not audio_changed:
            sink.write_packets(audio.take(first_pts))
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

    def write_audio(self, item: AudioPacket) -> None:
        """Drop it: the format has no audio."""

    def close(self) -> None:
        """Do nothing: no frames are delayed."""

    def _header(self) -> bytes:
        assert self._letterboxer is not None
        layout = "420mpeg2" if self._letterboxer.format == "yuv420p" else "420p10 XYSCSS=420P10"
        color_range = "FULL" if self._letterboxer.color.range == 2 else "LIMITED"
        fps = f"{self._fps.numerator}:{self._fps.denominator}"
        size = f"W{self._letterboxer.width} H{self._letterboxer.height}"
        return f"YUV4MPEG2 {size} F{fps} Ip A1:1 C{layout} XCOLORRANGE={color_range}\n".encode()
