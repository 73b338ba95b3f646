"""Animations that browsers and chats play by themselves: GIF and animated WebP, through FFmpeg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.filter.graph import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import OptionError, SinkError, count_of
from ..frames import SourceInfo
from ..media.color import scaler_color
from ..media.rgb import RgbConverter
from ..options import SinkOptions
from .animation_files import set_last_duration, truncate_to_last_image
from .animation_formats import FORMATS
from .container_sink import ContainerSink
from .muxing import KEEP_DURATIONS
from .stream_copy import describe_stream

if TYPE_CHECKING:
    from av.packet import Packet


class AnimationSink(ContainerSink):
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
        super().__init__(options)
        self._format = FORMATS[self._suffix]
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
        self.notes += [
            f"{describe_stream(stream)} is dropped: {self._suffix} holds no other streams"
            for stream in info.passthrough_streams
        ]
        self._info = info
        matrix, color_range = scaler_color(info.color, info.width, info.height)
        self._color = replace(info.color, matrix=matrix, range=color_range)
        self._to_rgb = RgbConverter(exact=True)
        self._has_header = False
        self._first_pts = 0
        self._last_tick = -1
        self._duration = self._cut_ticks = 0
        self._pauses: list[int] = []
        self._num_omitted = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `streamcam.sinks.Sink`."""
        super().__exit__(kind, error, trace)
        self._note_changes()

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """Ignore packets: an animation has no other streams."""

    def _open(self, frame: VideoFrame, pts: int) -> None:
        self._first_pts = pts
        path = self._file.reserve()
        # Neither format stores the shape of its pixels.
        self._size = max(1, round(frame.width * self._info.pixel_aspect)), frame.height
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=self._size[0], height=self._size[1], format=VideoFormat("rgb24"), time_base=self._format.time_base
        )
        sink = self._graph.add("buffersink")
        self._format.build_filters(self._graph, source, sink)
        self._graph.configure()
        self._output = av.open(f"file:{path}", "w", format=self._format.name, options=self._format.muxer_options)
        self._stream: VideoStream | None = None

    def _write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...], starts_chunk: bool) -> bool:
        """Encode a frame; omit and count one that is too close for the format."""
        tick, duration = (
            round(count * self._info.time_base / self._format.time_base)
            for count in (pts - self._first_pts, frame.duration or 0)
        )
        tick -= self._cut_ticks
        if self._last_tick >= 0 and tick - self._last_tick < self._format.min_ticks:
            self._num_omitted += 1
            return False
        if self._last_tick >= 0:
            uncut, tick = tick, self._last_tick + self._limit(tick - self._last_tick)
            self._cut_ticks += uncut - tick
        rgb = self._to_rgb(frame, self._color)
        if rgb.width != self._size[0]:
            rgb = rgb.reformat(width=self._size[0], height=self._size[1])
        # The duration counts for the last frame only; without one it is shown as long as the frame before.
        self._duration = max(duration or tick - max(self._last_tick, 0), self._format.min_ticks)
        rgb.pts, rgb.time_base, self._last_tick = tick, self._format.time_base, tick
        self._graph.push(rgb)
        self._mux_filtered()
        return True

    def _limit(self, ticks: int) -> int:
        """Shorten the time of a frame to what the file can hold."""
        if ticks > self._format.max_ticks:
            self._pauses.append(ticks)
        return min(ticks, self._format.max_ticks)

    def _mux_filtered(self) -> None:
        """Encode the frames that the filters have ready."""
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, VideoFrame)
            if self._stream is None:
                self._stream = self._add_stream(frame)
            frame.duration = min(self._duration, self._format.max_ticks)  # the filters forget it
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._output is not None
        self._has_header |= bool(packets)
        self._output.mux(packets)

    def _add_stream(self, frame: VideoFrame) -> VideoStream:
        rate = round(1 / self._format.time_base)
        assert self._output is not None
        stream = self._output.add_stream(self._format.encoder, rate=rate, options=self._format.options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = frame.width, frame.height
        stream.pix_fmt, stream.time_base = frame.format.name, self._format.time_base
        stream.codec_context.time_base = self._format.time_base
        stream.codec_context.flags |= KEEP_DURATIONS
        return stream

    def _finish(self) -> None:
        assert self._output is not None
        self._duration = self._limit(self._duration)
        self._graph.push(None)
        self._mux_filtered()
        if self._stream is not None:
            self._mux(self._stream.encode())
        self._output.close()
        if self._suffix == ".webp":
            set_last_duration(self._file.path, self._last_tick + self._duration)

    def _salvage(self) -> int:
        """See `ContainerSink`."""
        num_frames = 0
        # Before the header, the file is empty, or still the one to overwrite.
        if self._has_header:
            # A WebP without its end cannot be read.
            if self._suffix == ".gif":
                with contextlib.suppress(OSError):
                    num_frames = truncate_to_last_image(self._file.path)
            if not num_frames:
                self._file.discard()
        return num_frames

    def _note_changes(self) -> None:
        """Announce the frames and the time that the format cannot keep."""
        if self._num_omitted:
            fps = 1 / (self._format.min_ticks * self._format.time_base)
            are = "is" if self._num_omitted == 1 else "are"
            self.notes.append(
                f"{count_of(self._num_omitted, 'frame')} {are} omitted: {self._suffix} shows at most {fps} a second"
            )
        if self._pauses:
            longest, limit = (float(n * self._format.time_base) for n in (max(self._pauses), self._format.max_ticks))
            many = len(self._pauses) > 1
            what = f"{len(self._pauses)} pauses of up to" if many else "a pause of"
            self.notes.append(
                f"{what} {longest:.0f} s {'are' if many else 'is'} shortened to {limit:.0f} s, "
                f"the longest that {self._suffix} can hold"
            )
