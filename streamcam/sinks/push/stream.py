"""Streams that are encoded without delay: to a peer, as HLS, as MPEG-TS."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av
import av.error
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ...errors import SinkError, masked
from ..codecs import choose_live_encoder
from .fit import Fitted
from .places import Kind
from .wire import TIME_BASE, Order

if TYPE_CHECKING:
    pass

_KEY_EVERY = 2 / TIME_BASE
_SEGMENTS_LISTED = 6
_WRITE = 2  # AVIO_FLAG_WRITE
_FORMATS = {"rtsp": "rtsp", "rtmp": "flv", "HLS": "hls", "MPEG-TS": "mpegts"}
_Errors = (av.error.FFmpegError, OSError, ValueError)


class Stream:
    """Encodes pictures of one size into one stream; the first is at time 0.

    Args:
        order: what is to be written.
        kind: where to.

    Raises:
        SinkError, OptionError: see `choose_live_encoder`.
    """

    def __init__(self, order: Order, kind: Kind) -> None:
        self._order = order
        self._kind = kind
        # An absolute path is never taken for a protocol.
        self._to = str(Path(order.options.to).absolute()) if kind.name == "HLS" else order.options.to
        self._name = "standard output" if kind.stdout else masked(order.options.to)
        self._codec, self._encoder, self._told = choose_live_encoder(kind.name, order.options, order.rate)
        self._output: OutputContainer | None = None
        self._stream: VideoStream
        self._last_key = -1
        self._reformatter = VideoReformatter()

    def write(self, picture: VideoFrame, pts: int) -> None:
        """Sends a picture.

        Args:
            picture: in a drawable format.
            pts: in 1/90000 s, greater than the one before.

        Raises:
            LostError: the peer cannot be reached, or is gone.
            SinkError: it cannot be encoded, the disk is full, or nobody reads standard output any more.
        """
        if self._output is None:
            self._output = self._open(picture, pts)
        picture, pixel_format = self._fitted(picture), self._stream.codec_context.pix_fmt
        if picture.format.name != pixel_format:
            picture = self._reformatter.reformat(picture, format=pixel_format, threads=1)
        picture.pts, picture.time_base = pts - self._first, TIME_BASE
        # By time and not by count: a camera's rate is not always the one it names.
        key, self._last_key = self._last_key, int(picture.pts // _KEY_EVERY)
        picture.pict_type = PictureType.NONE if key == self._last_key else PictureType.I
        self._send(picture)

    def close(self) -> None:
        """Sends what the encoder holds, and the end; see `write` for errors."""
        if self._output is None:
            return
        self._send(None)
        with self._translated(), self._bounded():
            self._output.close()

    def _open(self, picture: VideoFrame, pts: int) -> OutputContainer:
        self._fitted, self._first = Fitted(picture), pts
        if self._fitted.colour.hdr and not self._encoder.deep:
            raise SinkError(f"{self._name} is given HDR, which {self._codec} cannot keep", do="use --codec hevc")
        if self._kind.name == "HLS":
            self._make_folder()
        where: Any = _Whole(1) if self._kind.stdout else self._to
        opened: Any = _opened if self._kind.name == "HLS" else None
        with self._translated(), self._bounded():
            output = av.open(
                where, "w", format=_FORMATS[self._kind.name], options=self._muxer_options(), io_open=opened
            )
        self._stream = self._add_video(output)
        with self._translated(), self._bounded():
            output.start_encoding()
        return output

    def _make_folder(self) -> None:
        folder = Path(self._to).parent
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SinkError(f"the folder {folder} cannot be created: {error.strerror}") from error

    def _muxer_options(self) -> dict[str, str]:
        if self._kind.name == "rtsp":
            return {"rtsp_transport": "tcp"}
        if self._kind.name != "HLS":
            return {"flush_packets": "1"}
        path = Path(self._to)
        append = "+append_list" if path.exists() else ""
        return {
            "hls_time": str(int(_KEY_EVERY * TIME_BASE)),
            "hls_list_size": str(_SEGMENTS_LISTED),
            "hls_flags": f"delete_segments+independent_segments+temp_file{append}",
            "hls_segment_filename": str(path.with_suffix("")).replace("%", "%%") + "-%05d.ts",
        }

    def _add_video(self, output: OutputContainer) -> VideoStream:
        options = self._told(self._fitted.width, self._fitted.height)
        stream = output.add_stream(self._encoder.name, rate=self._order.rate, options=options)
        assert isinstance(stream, VideoStream)
        context, colour = stream.codec_context, self._fitted.colour
        deep = self._encoder.deep and self._fitted.format != "yuv420p"
        context.width, context.height = self._fitted.width, self._fitted.height
        context.pix_fmt = self._encoder.deep_format if deep else "yuv420p"
        context.time_base = TIME_BASE
        context.color_range, context.color_primaries = colour.range, colour.primaries
        context.color_trc, context.colorspace = colour.transfer, colour.matrix
        # Longer than the distance of the key pictures asked for, of which it must make no more.
        context.gop_size = round(10 * max(self._order.rate, Fraction(1)))
        try:
            context.open()
        except _Errors as error:
            raise self._unencodable(error) from error
        return stream

    def _send(self, picture: VideoFrame | None) -> None:
        assert self._output is not None
        try:
            packets = self._stream.encode(picture)
        except _Errors as error:
            raise self._unencodable(error) from error
        for packet in packets:
            with self._translated(), self._bounded():
                self._output.mux_one(packet)

    def _unencodable(self, error: Exception) -> SinkError:
        size = f"{self._fitted.width}x{self._fitted.height}"
        return SinkError(f"{self._codec} cannot encode the pictures of {size} for {self._name}: {_reason(error)}")

    @contextlib.contextmanager
    def _bounded(self) -> Iterator[None]:
        """The process dies within its timeout, whatever it is in; Python's lock may be held."""
        if not self._kind.network:
            yield
            return
        signal.setitimer(signal.ITIMER_REAL, self._order.options.timeout)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _Errors as error:
            if self._kind.stdout and isinstance(error, BrokenPipeError):
                raise SinkError("nobody reads standard output any more") from error
            if not self._kind.network:
                raise SinkError(f"{self._name} cannot be written: {_reason(error)}") from error
            # The chain of a URL would show the credentials that the message masks.
            if self._output is not None:
                raise LostError(f"{self._name} was lost: {_reason(error)}") from None
            raise LostError(f"{self._name} cannot be reached: {_reason(error)}", do="check address and login") from None


class LostError(SinkError):
    """A peer cannot be reached, or is gone: it may be there later."""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class _Whole:
    """A file for FFmpeg: what cannot be written is an error here and now; HLS would go on without it.

    Args:
        descriptor: where to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Writes all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        return len(data)

    def close(self) -> None:
        """Closes what was opened for it."""
        os.close(self._descriptor)


def _opened(path: str, flags: int, options: dict[str, str]) -> BinaryIO | _Whole:
    if not flags & _WRITE:
        return open(path, "rb")
    return _Whole(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666))
