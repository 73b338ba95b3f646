"""Streams that are encoded without delay: to a peer, as HLS, as MPEG-TS."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ...errors import SinkError, redact_url
from ...frames import AudioPacket
from ...media.letterbox import Letterboxer
from ..codecs import choose_live_encoder
from ..frame_size import playable_size
from ..muxing import convert_frame
from ..scheduling import keep_scheduling
from ..stream_copy import StreamCopier
from .audio import AudioFeed
from .destinations import Destination, create_folder
from .playlist import MAX_SEGMENT_SECONDS, TARGET_SECONDS, Playlist, UnbufferedFile, open_file
from .protocol import TIME_BASE, WorkerConfig

_KEYFRAME_INTERVAL_TICKS = TARGET_SECONDS / TIME_BASE
_MAX_SEGMENT_TICKS = MAX_SEGMENT_SECONDS / TIME_BASE
_MAX_INTERLEAVE_MICROSECONDS = "500000"
"""How long frames wait for audio that does not come."""
_FORMATS = {"rtsp": "rtsp", "rtmp": "flv", "HLS": "hls", "MPEG-TS": "mpegts"}
_WRITE_ERRORS = (av.error.FFmpegError, OSError, ValueError)


class StreamEncoder:
    """Encodes frames of one size into one stream.

    The first is at time 0. After a gap that would make an HLS segment too long, the time begins anew after a
    discontinuity.

    Args:
        config: of the worker.
        destination: of the stream.
        warn: called with a line for the user.

    Raises:
        SinkError, OptionError: see `choose_live_encoder`.
    """

    def __init__(self, config: WorkerConfig, destination: Destination, warn: Callable[[str], object]) -> None:
        self._config, self._warn = config, warn
        self._destination = destination
        # FFmpeg never parses an absolute path as a protocol.
        self._url = str(Path(config.options.url).absolute()) if destination.name == "HLS" else config.options.url
        self._name = "standard output" if destination.stdout else redact_url(config.options.url)
        self._codec, self._encoder, self._make_encoder_options = choose_live_encoder(
            destination.name, config.options, config.fps
        )
        self._output: OutputContainer | None = None
        self._stream: VideoStream
        self._letterboxer: Letterboxer | None = None
        self._playlist = Playlist(Path(self._url)) if destination.name == "HLS" else None
        self._is_locked = False
        self._first_pts = self._last_pts = self._keyframe_pts = 0
        self._interval_ticks = self._max_interval_ticks = 0
        self._audio = AudioFeed(warn)
        self._copier: StreamCopier | None = None
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
        if self._playlist and self._output and pts - self._first_pts - self._keyframe_pts >= _MAX_SEGMENT_TICKS:
            self._end()
        if self._output is None:
            self._output = self._open(frame, pts)
        assert self._letterboxer
        frame = convert_frame(self._reformatter, self._letterboxer(frame), self._size, self._pixel_format)
        frame.pts, frame.time_base = pts - self._first_pts, TIME_BASE
        frame.pict_type = PictureType.I if self._needs_keyframe(frame.pts) else PictureType.NONE
        self._send(frame)

    def write_audio(self, item: AudioPacket) -> None:
        """Send an audio packet, or announce the stream; see `write` for errors."""
        if not item.data:
            if self._audio.announce(item) and self._output:
                self._on_audio_change()
            return
        self._audio.add(item)
        if self._copier:
            with self._translate_errors(), self._limit_time():
                self._copier.mux(self._audio.take(self._first_pts))

    def _on_audio_change(self) -> None:
        """Begin anew with the other stream where players can follow."""
        if self._playlist:
            self._end()
        else:
            self._audio.drop("the camera's audio changed and is dropped from now on")

    def _needs_keyframe(self, pts: int) -> bool:
        """Return True if the next frame may come too late for one.

        By time and not by count: a camera's real rate may differ from the announced one.
        """
        interval_ticks, self._last_pts = pts - self._last_pts, pts
        self._interval_ticks, self._max_interval_ticks = interval_ticks, max(self._max_interval_ticks, interval_ticks)
        if pts and pts + self._max_interval_ticks <= self._keyframe_pts + _KEYFRAME_INTERVAL_TICKS:
            return False
        self._keyframe_pts, self._max_interval_ticks = pts, interval_ticks
        return True

    def close(self) -> None:
        """Send the encoder's remaining packets and end the stream.

        See `write` for errors.
        """
        if self._playlist:
            self._playlist.is_complete = True
        self._end()
        if self._is_locked and self._playlist:
            self._playlist.unlock()

    def _end(self) -> None:
        """Send the encoder's remaining packets and close the output."""
        if self._output is None:
            return
        self._send(None)
        with self._translate_errors(), self._limit_time():
            self._output.close()
        self._output = self._copier = None

    def _open(self, frame: VideoFrame, pts: int) -> OutputContainer:
        if self._letterboxer is None:
            self._letterboxer = Letterboxer(frame)
            self._size, notes = playable_size(self._codec, self._config.options.codec, (frame.width, frame.height))
            for note in notes:
                self._warn(note)
        self._first_pts, self._last_pts, self._keyframe_pts = pts, 0, 0
        self._interval_ticks = self._max_interval_ticks = 0
        if self._letterboxer.color.is_hdr and not self._encoder.keeps_10bit:
            raise SinkError(f"{self._name} receives HDR, which {self._codec} cannot keep", hint="use --codec hevc")
        if self._playlist:
            create_folder(Path(self._url).parent)
            with self._translate_errors():
                self._lock_playlist(self._playlist)
        target: Any = UnbufferedFile(1) if self._destination.stdout else self._url
        io_open: Any = functools.partial(open_file, self._playlist) if self._playlist else None
        with self._translate_errors(), self._limit_time():
            output = av.open(
                target, "w", format=_FORMATS[self._destination.name], options=self._muxer_options(), io_open=io_open
            )
        self._stream = self._add_video(output)
        self._copier = self._audio.add_to(output, self._destination.name)
        with self._translate_errors(), self._limit_time():
            output.start_encoding()
        return output

    def _lock_playlist(self, playlist: Playlist) -> None:
        """Reserve the playlist, and delete what a killed process left."""
        if not self._is_locked:
            playlist.lock()
            self._is_locked = True
            playlist.delete_orphans()

    def _muxer_options(self) -> dict[str, str]:
        options = {"max_interleave_delta": _MAX_INTERLEAVE_MICROSECONDS}
        if self._destination.name == "rtsp":
            return options | {"rtsp_transport": "tcp"}
        return options | ({"flush_packets": "1"} if self._playlist is None else self._playlist.muxer_options())

    def _add_video(self, output: OutputContainer) -> VideoStream:
        assert self._letterboxer
        options = self._make_encoder_options(*self._size)
        stream = output.add_stream(self._encoder.name, rate=self._config.fps, options=options)
        assert isinstance(stream, VideoStream)
        context, color = stream.codec_context, self._letterboxer.color
        is_10bit = self._encoder.keeps_10bit and self._letterboxer.format != "yuv420p"
        context.width, context.height = self._size
        context.pix_fmt = self._pixel_format = self._encoder.pixel_format_10bit if is_10bit else "yuv420p"
        context.time_base = TIME_BASE
        context.color_range, context.color_primaries = color.range, color.primaries
        context.color_trc, context.colorspace = color.transfer, color.matrix
        # Longer than the requested keyframe interval, so that no further keyframes are added.
        context.gop_size = round(10 * max(self._config.fps, Fraction(1)))
        try:
            with keep_scheduling():
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
            # FFmpeg adds the durations up to the last segment's.
            packet.duration = self._interval_ticks or packet.duration
            with self._translate_errors(), self._limit_time():
                self._output.mux_one(packet)

    def _encode_error(self, error: Exception) -> SinkError:
        size = f"{self._size[0]}x{self._size[1]}"
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
