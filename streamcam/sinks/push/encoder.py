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

from ...errors import SinkError, redact_url
from ...media.letterbox import Letterboxer
from ..codecs import choose_live_encoder
from .destinations import Destination
from .protocol import TIME_BASE, WorkerConfig

if TYPE_CHECKING:
    pass

_KEYFRAME_INTERVAL_TICKS = 2 / TIME_BASE
_PLAYLIST_SEGMENTS = 6
_AVIO_WRITE = 2  # AVIO_FLAG_WRITE
_FORMATS = {"rtsp": "rtsp", "rtmp": "flv", "HLS": "hls", "MPEG-TS": "mpegts"}
_WRITE_ERRORS = (av.error.FFmpegError, OSError, ValueError)


class StreamEncoder:
    """Encodes frames of one size into one stream.

    The first is at time 0.

    Args:
        config: of the worker.
        destination: of the stream.

    Raises:
        SinkError, OptionError: see `choose_live_encoder`.
    """

    def __init__(self, config: WorkerConfig, destination: Destination) -> None:
        self._config = config
        self._destination = destination
        # FFmpeg never parses an absolute path as a protocol.
        self._url = str(Path(config.options.url).absolute()) if destination.name == "HLS" else config.options.url
        self._name = "standard output" if destination.stdout else redact_url(config.options.url)
        self._codec, self._encoder, self._make_encoder_options = choose_live_encoder(
            destination.name, config.options, config.fps
        )
        self._output: OutputContainer | None = None
        self._stream: VideoStream
        self._last_keyframe_index = -1
        self._reformatter = VideoReformatter()

    def write(self, frame: VideoFrame, pts: int) -> None:
        """Encode and send a frame.

        Args:
            frame: in a working format.
            pts: in 1/90000 s, greater than the one before.

        Raises:
            LostError: the peer cannot be reached, or is gone.
            SinkError: it cannot be encoded, the disk is full, or standard output was closed.
        """
        if self._output is None:
            self._output = self._open(frame, pts)
        frame, pixel_format = self._letterboxer(frame), self._stream.codec_context.pix_fmt
        if frame.format.name != pixel_format:
            frame = self._reformatter.reformat(frame, format=pixel_format, threads=1)
        frame.pts, frame.time_base = pts - self._first_pts, TIME_BASE
        # By time and not by count: a camera's real rate may differ from the announced one.
        previous_index, self._last_keyframe_index = (
            self._last_keyframe_index,
            int(frame.pts // _KEYFRAME_INTERVAL_TICKS),
        )
        frame.pict_type = PictureType.NONE if previous_index == self._last_keyframe_index else PictureType.I
        self._send(frame)

    def close(self) -> None:
        """Send the encoder's remaining packets and end the stream.

        See `write` for errors.
        """
        if self._output is None:
            return
        self._send(None)
        with self._translate_errors(), self._limit_time():
            self._output.close()

    def _open(self, frame: VideoFrame, pts: int) -> OutputContainer:
        self._letterboxer, self._first_pts = Letterboxer(frame), pts
        if self._letterboxer.color.is_hdr and not self._encoder.keeps_10bit:
            raise SinkError(f"{self._name} receives HDR, which {self._codec} cannot keep", hint="use --codec hevc")
        if self._destination.name == "HLS":
            self._make_directory()
        target: Any = _UnbufferedFile(1) if self._destination.stdout else self._url
        io_open: Any = _open_file if self._destination.name == "HLS" else None
        with self._translate_errors(), self._limit_time():
            output = av.open(
                target, "w", format=_FORMATS[self._destination.name], options=self._muxer_options(), io_open=io_open
            )
        self._stream = self._add_video(output)
        with self._translate_errors(), self._limit_time():
            output.start_encoding()
        return output

    def _make_directory(self) -> None:
        directory = Path(self._url).parent
        try:
            directory.mkdir(exist_ok=True)
        except OSError as error:
            raise SinkError(f"the folder {directory} cannot be created: {error.strerror}") from error

    def _muxer_options(self) -> dict[str, str]:
        if self._destination.name == "rtsp":
            return {"rtsp_transport": "tcp"}
        if self._destination.name != "HLS":
            return {"flush_packets": "1"}
        path = Path(self._url)
        append = "+append_list" if path.exists() else ""
        return {
            "hls_time": str(int(_KEYFRAME_INTERVAL_TICKS * TIME_BASE)),
            "hls_list_size": str(_PLAYLIST_SEGMENTS),
            "hls_flags": f"delete_segments+independent_segments+temp_file{append}",
            "hls_segment_filename": str(path.with_suffix("")).replace("%", "%%") + "-%05d.ts",
        }

    def _add_video(self, output: OutputContainer) -> VideoStream:
        options = self._make_encoder_options(self._letterboxer.width, self._letterboxer.height)
        stream = output.add_stream(self._encoder.name, rate=self._config.fps, options=options)
        assert isinstance(stream, VideoStream)
        context, color = stream.codec_context, self._letterboxer.color
        is_10bit = self._encoder.keeps_10bit and self._letterboxer.format != "yuv420p"
        context.width, context.height = self._letterboxer.width, self._letterboxer.height
        context.pix_fmt = self._encoder.pixel_format_10bit if is_10bit else "yuv420p"
        context.time_base = TIME_BASE
        context.color_range, context.color_primaries = color.range, color.primaries
        context.color_trc, context.colorspace = color.transfer, color.matrix
        # Longer than the requested keyframe interval, so that no further keyframes are added.
        context.gop_size = round(10 * max(self._config.fps, Fraction(1)))
        try:
            context.open()
        except _WRITE_ERRORS as error:
            raise self._encode_error(error) from error
        return stream

    def _send(self, frame: VideoFrame | None) -> None:
        assert self._output is not None
        try:
            packets = self._stream.encode(frame)
        except _WRITE_ERRORS as error:
            raise self._encode_error(error) from error
        for packet in packets:
            with self._translate_errors(), self._limit_time():
                self._output.mux_one(packet)

    def _encode_error(self, error: Exception) -> SinkError:
        size = f"{self._letterboxer.width}x{self._letterboxer.height}"
        return SinkError(f"{self._codec} cannot encode frames of {size} for {self._name}: {_reason(error)}")

    @contextlib.contextmanager
    def _limit_time(self) -> Iterator[None]:
        """End the process after its timeout.

        This works even during a call that holds Python's GIL.
        """
        if not self._destination.network:
            yield
            return
        signal.setitimer(signal.ITIMER_REAL, self._config.options.timeout_seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except _WRITE_ERRORS as error:
            if self._destination.stdout and isinstance(error, BrokenPipeError):
                raise SinkError("the reader of standard output closed it") from error
            if not self._destination.network:
                raise SinkError(f"{self._name} cannot be written: {_reason(error)}") from error
            # The chain of a URL would show the credentials that the message masks.
            if self._output is not None:
                raise PeerLostError(f"{self._name} was lost: {_reason(error)}") from None
            raise PeerLostError(
                f"{self._name} cannot be reached: {_reason(error)}", hint="check address and login"
            ) from None


class PeerLostError(SinkError):
    """A peer cannot be reached or is gone; a later attempt may succeed."""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class _UnbufferedFile:
    """A file for FFmpeg that raises write errors at once.

    FFmpeg's HLS muxer would ignore them and go on.

    Args:
        descriptor: of the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Write all of the data."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        return len(data)

    def close(self) -> None:
        """Close the descriptor if it was opened here."""
        os.close(self._descriptor)


def _open_file(path: str, flags: int, options: dict[str, str]) -> BinaryIO | _UnbufferedFile:
    if not flags & _AVIO_WRITE:
        return open(path, "rb")
    return _UnbufferedFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666))
