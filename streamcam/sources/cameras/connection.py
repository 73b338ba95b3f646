"""One connection to a camera: opened, read and decoded until it breaks or ends."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
from av.codec.context import Flags, ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame

from ...errors import SourceError
from ...frames import AudioPacket
from ...geometry import Size
from ...options import CameraOptions
from ..container import choose_video
from ..frame_limits import check_frame_size, exceeds, limit_decoder, refused_size
from .audio import AudioTap
from .camera_urls import CameraEndpoint
from .clocks import BacklogEstimator, RealtimePacer

_NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_MAX_FPS = 1000
_DEFAULT_FPS = Fraction(25)
_LENIENT_DECODERS = {"flv", "h263", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4"}
"""Decoders that output an invented frame before the first keyframe; the others wait for it."""
_MAX_CONSECUTIVE_ERRORS = 100
_STDIN_FD = 0
"""Standard input's."""
_POLL_SECONDS = 0.1
"""Seconds between checks for a stop while waiting for standard input."""


class Connection:
    """Decoded frames of one connection to a camera.

    One thread opens it, iterates over it and closes it.

    Attributes:
        fps: frames a second as announced; None if they are not.
        pixel_aspect: width of a stored pixel over its height.
        codec: its name.
        dropped: packets so far that were not decoded because decoding was late.
        skipped: packets that could not be decoded, so far.
    """

    def __init__(
        self,
        endpoint: CameraEndpoint,
        options: CameraOptions,
        stopping: threading.Event,
        on_silence: Callable[[str], None],
    ) -> None:
        """Open the connection, within twice the timeout.

        Args:
            endpoint: the input to open.
            options: timeout and latency bound.
            stopping: ends every wait that can be ended from here.
            on_silence: called with one line if a source that cannot be reopened sends no data for longer than the
                timeout.

        Raises:
            SourceError: it cannot be opened, or has no video.
        """
        self._endpoint = endpoint
        self._timeout_seconds, self._max_pixels = options.timeout_seconds, options.max_pixels
        self._has_frame = False
        self._stopping = stopping
        self.dropped = self.skipped = 0
        self._audio: AudioTap | None = None
        self._container = self._open_container(on_silence)
        try:
            self._video = video = choose_video(self._container, endpoint.name)
            limit_decoder(video.codec_context, options.max_pixels)
            for stream in self._container.streams:
                if stream is not video:
                    stream.discard = Discard.all
            # Threads that each decode a frame would delay them by as many frames.
            video.thread_type = ThreadType.SLICE
            video.codec_context.flags |= Flags.low_delay
            is_recording = endpoint.is_recording or (endpoint.may_be_recording and self._container.duration is not None)
            # HLS comes in segments of several seconds, all at once.
            is_paced = options.realtime and (is_recording or self._container.format.name.startswith("hls"))
            self._is_finite = endpoint.is_finite or is_recording
            self._pacer = RealtimePacer(options.max_latency_seconds, stopping.wait) if is_paced else None
            self._backlog = None if is_recording or is_paced else BacklogEstimator(options.max_latency_seconds)
            fps = video.average_rate or video.guessed_rate
            self.average_fps = Fraction(fps) if fps and 0 < fps <= _MAX_FPS else None
            # FFmpeg assigns a format without timestamps 25 frames a second, regardless of the camera's rate.
            self._has_timestamps = is_paced or not int(self._container.format.flags) & _NO_TIMESTAMPS
            if not self._has_timestamps:
                self.average_fps = None
            self.pixel_aspect = Fraction(video.sample_aspect_ratio or 1) or Fraction(1)
            self.codec = video.codec_context.name
        except BaseException:
            self._container.close()
            raise

    def copy_audio(self, to_pts: Callable[[Fraction], int | None], on_packet: Callable[[AudioPacket], object]) -> None:
        """Pass on the packets of the audio stream too; see `AudioTap`."""
        self._audio = AudioTap(self._container, self._endpoint.name, to_pts, on_packet)
        for stream in self._audio.streams:
            stream.discard = Discard.default

    def close(self) -> None:
        """Close the connection."""
        self._container.close()

    def __iter__(self) -> Iterator[tuple[VideoFrame, Fraction | None, float]]:
        """Yield frames with their stream time and arrival time.

        The stream time is in seconds, or None; the arrival is in `time.monotonic` seconds.

        Raises:
            SourceError: it was lost, or no decodable packet came for longer than the timeout.
        """
        last_frame_time = time.monotonic()
        stream_seconds = Fraction(0)
        for packet in self._drop_late(self._packets()):
            arrival_time = time.monotonic()
            for frame in self._decode(packet):
                frame_seconds = self._stream_seconds(frame)
                if self._pacer is not None:
                    frame_seconds = stream_seconds = (
                        stream_seconds + 1 / (self.average_fps or _DEFAULT_FPS)
                        if frame_seconds is None
                        else frame_seconds
                    )
                    self._pacer.wait_until_due(frame_seconds)
                    arrival_time = time.monotonic()
                if self._stopping.is_set():
                    return
                self._has_frame = True
                yield frame, frame_seconds, arrival_time
                last_frame_time = time.monotonic()
            if time.monotonic() - last_frame_time > self._timeout_seconds:
                problem = f"{self._endpoint.name} sent no decodable frame for {self._timeout_seconds:g} s"
                raise SourceError(problem, hint="check the camera's codec")

    def _open_container(self, on_silence: Callable[[str], None]) -> InputContainer:
        start_time = time.monotonic()
        endpoint = self._endpoint
        # `_StandardInput` applies the timeout itself.
        file = endpoint.url or _StandardInput(self._stopping, self._timeout_seconds, on_silence)
        timeout_seconds = self._timeout_seconds if endpoint.url else None
        try:
            return av.open(
                file,
                "r",
                format=endpoint.format,
                options=endpoint.options,
                timeout=timeout_seconds,
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # FFmpeg calls a mute peer invalid data, or an I/O error, with some protocols.
            timed_out = endpoint.url and time.monotonic() - start_time >= 0.9 * self._timeout_seconds
            # The chain would show the credentials that the message masks.
            raise endpoint.translate_error(TimeoutError() if timed_out else error) from None

    def _packets(self) -> Iterator[Packet[Any]]:
        """Yield packets of the video.

        An empty packet follows the last one: it flushes the decoder.
        """
        streams = [self._video, *(self._audio.streams if self._audio else ())]
        packets = self._container.demux(streams)
        name = self._endpoint.name
        last_video_time = time.monotonic()
        errors = 0
        while not self._stopping.is_set():
            try:
                packet = next(packets, None)
                errors = 0
            except (av.error.InvalidDataError, av.error.BlockingIOError):
                errors += 1
                self.skipped += 1
                if errors >= _MAX_CONSECUTIVE_ERRORS:
                    raise SourceError(f"{name} is damaged: the rest cannot be read") from None
                packets = self._container.demux(streams)
                continue
            except IndexError:
                # PyAV does not know a stream whose first packet comes after opening.
                packets = self._container.demux(streams)
                continue
            except (av.error.ExitError, TimeoutError):
                raise SourceError(f"{name} sent no data for {self._timeout_seconds:g} s") from None
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(f"{name} was interrupted: {error.strerror or type(error).__name__}") from None
            if packet is None:
                if self._is_finite:
                    return
                raise SourceError(f"{name} closed the connection")
            if self._audio and self._audio.take(packet):
                if time.monotonic() - last_video_time > self._timeout_seconds:
                    raise SourceError(f"{name} sent no video for {self._timeout_seconds:g} s")
                continue
            yield packet
            last_video_time = time.monotonic()

    def _drop_late(self, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any] | None]:
        """Yield the packets.

        None for one to skip, because decoding is late or waits for a keyframe.
        """
        previous_seconds: Fraction | None = None
        has_keyframe, is_late = self.codec not in _LENIENT_DECODERS, False
        done_time = request_time = time.monotonic()
        for packet in packets:
            read_time = time.monotonic()
            has_keyframe = has_keyframe or packet.is_keyframe or not packet.size
            if has_keyframe and self._backlog is not None and packet.size:
                packet_seconds = self._stream_seconds(packet)
                step_seconds = (
                    None
                    if packet_seconds is None or previous_seconds is None or packet_seconds < previous_seconds
                    else packet_seconds - previous_seconds
                )
                was_late, is_late = (
                    is_late,
                    self._backlog.should_drop(
                        step_seconds=step_seconds,
                        busy_seconds=request_time - done_time,
                        waited_seconds=read_time - request_time,
                        is_keyframe=packet.is_keyframe,
                    ),
                )
                if was_late and not is_late:
                    self._video.codec_context.flush_buffers()
                self.dropped += is_late
                previous_seconds = packet_seconds
            done_time = read_time
            yield packet if has_keyframe and not is_late else None
            request_time = time.monotonic()

    def _decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        if packet is None:
            return []
        try:
            frames = self._video.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._skip(refused_size(self._video.codec_context, error, packet, self._max_pixels))
            return []
        for frame in [frame for frame in frames if exceeds((frame.width, frame.height), self._max_pixels)]:
            self._skip((frame.width, frame.height))
            frames.remove(frame)
        return frames

    def _skip(self, size: Size | None) -> None:
        """Count a skipped packet or frame; ``size`` is that of a frame that is too large.

        Raises:
            SourceError: no frame came before it.
        """
        self.skipped += 1
        if size is not None and not self._has_frame:
            check_frame_size(self._endpoint.name, size, self._max_pixels, refused=True)

    def _stream_seconds(self, item: VideoFrame | Packet[Any]) -> Fraction | None:
        """Return a frame's display or a packet's decoding time, in stream seconds."""
        first, second = (item.pts, item.dts) if isinstance(item, VideoFrame) else (item.dts, item.pts)
        ticks = first if first is not None else second
        if not self._has_timestamps or ticks is None or item.time_base is None:
            return None
        return ticks * Fraction(item.time_base)


class _StandardInput:
    """Standard input as a file for PyAV.

    Its reads end when the camera is stopped.
    """

    name = "standard input"

    def __init__(self, stopping: threading.Event, timeout_seconds: float, on_silence: Callable[[str], None]) -> None:
        self._stopping = stopping
        self._timeout_seconds = timeout_seconds
        self._on_silence = on_silence

    def read(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end."""
        if sys.platform != "win32":
            start_time, is_reported = time.monotonic(), False
            while not select.select([_STDIN_FD], [], [], _POLL_SECONDS)[0]:
                if self._stopping.is_set():
                    return b""
                if not is_reported and time.monotonic() - start_time > self._timeout_seconds:
                    is_reported = True
                    self._on_silence(f"standard input sent no data for {self._timeout_seconds:g} s")
        return os.read(_STDIN_FD, size)
