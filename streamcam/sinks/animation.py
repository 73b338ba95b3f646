"""Animations that browsers and chats play by themselves: GIF and animated WebP, through FFmpeg."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import av.error
from av.container import OutputContainer
from av.filter.context import FilterContext
from av.filter.graph import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import OptionError, SinkError
from ..frames import SourceInfo
from ..media.color import scaler_color
from ..media.rgb import RgbConverter
from ..options import SinkOptions
from .muxing import KEEP_DURATIONS
from .stream_copy import describe_stream

if TYPE_CHECKING:
    from av.packet import Packet


@dataclass(frozen=True, slots=True)
class _Format:
    """How a kind of animation is encoded.

    Attributes:
        name: FFmpeg's name of the muxer.
        encoder: FFmpeg's name of the encoder.
        time_base: of its frames; durations are whole multiples.
        min_ticks: the shortest time that browsers keep.
        options: of the encoder.
        muxer_options: of the muxer.
        build_filters: links filters from ``rgb24`` to its pixel format, between the two ends of a graph.
    """

    name: str
    encoder: str
    time_base: Fraction
    min_ticks: int
    options: dict[str, str]
    muxer_options: dict[str, str]
    build_filters: Callable[[Graph, FilterContext, FilterContext], None]


def _to_palette(graph: Graph, source: FilterContext, sink: FilterContext) -> None:
    """Give each frame its own palette: that needs no second pass over the frames."""
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)


def _to_bgra(graph: Graph, source: FilterContext, sink: FilterContext) -> None:
    convert = graph.add("format", "bgra")
    source.link_to(convert)
    convert.link_to(sink)


_FORMATS = {
    ".gif": _Format(
        "gif",
        "gif",
        Fraction(1, 100),
        2,
        {},
        {"loop": "0"},
        _to_palette,
    ),
    ".webp": _Format("webp", "libwebp_anim", Fraction(1, 1000), 1, {"quality": "80"}, {"loop": "0"}, _to_bgra),
}


class AnimationSink:
    """Writes a GIF or an animated WebP that loops; see `streamcam.sinks.Sink`.

    Frames are encoded as they come; memory holds a few of them, and for WebP the encoded ones. A WebP is written at
    the end; the GIF of a killed process plays up to its last frame.
    """

    def __init__(self, options: SinkOptions, info: SourceInfo) -> None:
        """Check that the file can hold the source's frames.

        Raises:
            SinkError: the source is HDR.
            OptionError: options of a video codec are given.
        """
        self.path = options.path
        self.num_frames = 0
        self._overwrite = options.overwrite
        self._lock = threading.Lock()
        self._suffix = options.path.suffix.lower()
        self._format = _FORMATS[self._suffix]
        self.encoder = self._format.encoder
        codec_options = [name for name in ("codec", "crf", "preset") if getattr(options, name) is not None]
        if codec_options:
            raise OptionError(
                f"--{codec_options[0]} cannot be used with {self._suffix}", hint="omit it, or write a video"
            )
        if info.color.is_hdr:
            raise SinkError(
                f"{info.name} is HDR, which {self._suffix} cannot keep", hint="write .mp4 with --codec hevc"
            )
        self.notes = [
            f"{describe_stream(stream)} is dropped: {self._suffix} holds no other streams"
            for stream in info.passthrough_streams
        ]
        self._info = info
        matrix, color_range = scaler_color(info.color, info.width, info.height)
        self._color = replace(info.color, matrix=matrix, range=color_range)
        self._to_rgb = RgbConverter(exact=True)
        self._output: OutputContainer | None = None
        self._first_pts = 0
        self._last_tick = -1
        self._num_omitted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `streamcam.sinks.Sink`."""
        # After an interrupt another thread may still be writing a frame.
        with self._lock:
            if self._output is None:
                return
            try:
                self._finish(self._output)
            except (av.error.FFmpegError, OSError, ValueError) as caught:
                if kind is None:
                    raise self._write_error(caught) from caught
            finally:
                self._output = None
        if self._num_omitted:
            fps = 1 / (self._format.min_ticks * self._format.time_base)
            self.notes.append(f"{self._num_omitted} frames are omitted: {self._suffix} shows at most {fps} a second")

    def write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = ()) -> None:
        """See `streamcam.sinks.Sink`; frames too close for the format are omitted and counted in the notes."""
        with self._lock:
            try:
                if self._output is None:
                    self._open(frame, pts)
                self._encode(frame, pts)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise self._write_error(error) from error
            self.num_frames += 1

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """Ignore packets: an animation has no other streams."""

    def _open(self, frame: VideoFrame, pts: int) -> None:
        self._first_pts = pts
        # A file that appeared since the first check is not replaced.
        self.path.open("wb" if self._overwrite else "xb").close()
        # Neither format stores the shape of its pixels.
        self._size = max(1, round(frame.width * self._info.pixel_aspect)), frame.height
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=self._size[0],
            height=self._size[1],
            format=VideoFormat("rgb24"),
            time_base=self._format.time_base,
        )
        sink = self._graph.add("buffersink")
        self._format.build_filters(self._graph, source, sink)
        self._graph.configure()
        self._output = av.open(f"file:{self.path}", "w", format=self._format.name, options=self._format.muxer_options)
        self._stream: VideoStream | None = None

    def _encode(self, frame: VideoFrame, pts: int) -> None:
        tick, duration = (
            round(count * self._info.time_base / self._format.time_base)
            for count in (pts - self._first_pts, frame.duration or 0)
        )
        if self._last_tick >= 0 and tick - self._last_tick < self._format.min_ticks:
            self._num_omitted += 1
            return
        rgb = self._to_rgb(frame, self._color)
        if rgb.width != self._size[0]:
            rgb = rgb.reformat(width=self._size[0], height=self._size[1])
        # The duration counts for the last frame only; without one it is shown as long as the frame before.
        self._duration = max(duration or tick - max(self._last_tick, 0), self._format.min_ticks)
        rgb.pts, rgb.time_base, self._last_tick = tick, self._format.time_base, tick
        self._graph.push(rgb)
        self._mux_filtered()

    def _mux_filtered(self) -> None:
        """Encode the frames that the filters have ready."""
        assert self._output is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, VideoFrame)
            if self._stream is None:
                self._stream = self._add_stream(self._output, frame)
            frame.duration = self._duration  # the filters forget it
            self._output.mux(self._stream.encode(frame))

    def _add_stream(self, output: OutputContainer, frame: VideoFrame) -> VideoStream:
        rate = round(1 / self._format.time_base)
        stream = output.add_stream(self._format.encoder, rate=rate, options=self._format.options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt, stream.time_base = frame.format.name, self._format.time_base
        stream.codec_context.time_base = self._format.time_base
        stream.codec_context.flags |= KEEP_DURATIONS
        return stream

    def _finish(self, output: OutputContainer) -> None:
        try:
            self._graph.push(None)
            self._mux_filtered()
            if self._stream is not None:
                output.mux(self._stream.encode())
        finally:
            output.close()
        if self._suffix == ".webp":
            _end_webp(self.path, self._last_tick + self._duration)

    def _write_error(self, error: Exception) -> SinkError:
        return SinkError(f"{self.path} cannot be written: {getattr(error, 'strerror', None) or error}")


def _end_webp(path: Path, end_milliseconds: int) -> None:
    """Set the duration of the last frame.

    FFmpeg passes none to libwebp, which takes the mean of the others.

    An animation is a RIFF file with a chunk ``ANMF`` a frame, whose duration stands at byte 12 in 24 bits.
    """
    with path.open("r+b") as file:
        file.seek(12)
        durations = 0
        last: int | None = None
        while len(header := file.read(8)) == 8:
            name, size = header[:4], int.from_bytes(header[4:], "little")
            begin = file.tell()
            if name == b"ANMF":
                file.seek(begin + 12)
                last, duration = begin + 12, int.from_bytes(file.read(3), "little")
                durations += duration
            file.seek(begin + size + size % 2)
        if last is not None:
            file.seek(last)
            file.write((end_milliseconds - durations + duration).to_bytes(3, "little"))
