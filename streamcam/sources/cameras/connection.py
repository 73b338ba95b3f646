"""One connection to a camera: opened, read and decoded until it breaks or ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av.error
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame

from ...concurrency.cpu_slots import CpuSlot
from ...errors import SourceError
from ...frames import AudioPacket
from ...options import CameraOptions
from .audio import AudioTap
from .camera_urls import CameraEndpoint
from .capture_times import CaptureTimes, LatencySource, ReceivedFrame
from .clocks import BacklogEstimator, RealtimePacer
from .decoding import LiveDecoder
from .opening import open_input
from .silence import SilenceLimit
from .thinning import FrameLimit, FrameThinner

_NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_MAX_FPS = 1000
_DEFAULT_FPS = Fraction(25)
_LENIENT_DECODERS = {"flv", "h263", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4"}
"""Decoders that output an invented frame before the first keyframe; the others wait for it."""
_MAX_CONSECUTIVE_ERRORS = 100
_CPU_PERIOD_SECONDS = 0.25
_KEYFRAME_SECONDS = 20.0
"""Seconds to wait at least for the first keyframe, which cameras send every few seconds."""


class Connection:
    """Decoded frames of one connection to a camera.

    One thread opens it, iterates over it and closes it; the attributes can be read from any thread.

    Attributes:
        codec: its name.
        is_recording: True if it waits to be read, and ends.
        is_snapshot: True if the peer sends one image and hangs up.
        dropped: packets so far that were dropped because decoding was late.
        thinned: packets and frames so far that were dropped because of ``frame_limit``.
        cpu_seconds: CPU time of its thread so far.
        reading_since: when it began to wait for the peer, in `time.monotonic` seconds; None while it does not.
    """

    def __init__(
        self,
        endpoint: CameraEndpoint,
        options: CameraOptions,
        stopping: threading.Event,
        silence: SilenceLimit,
        *,
        frame_limit: Callable[[], FrameLimit],
        cpu_slot: CpuSlot,
        standard_input: Any = None,
    ) -> None:
        """Open the connection, within twice the timeout.

        Args:
            endpoint: the input to open.
            options: timeout and latency bound.
            stopping: ends every wait that can be ended from here.
            silence: learns the camera's pace.
            frame_limit: returns how many frames to yield.
            cpu_slot: entered while a frame is decoded.
            standard_input: file to read for an endpoint without a URL.

        Raises:
            SourceError: it cannot be opened, or has no video.
        """
        self._endpoint = endpoint
        self._stopping, self._silence, self._frame_limit = stopping, silence, frame_limit
        self.dropped = self.thinned = self._damaged = 0
        self.cpu_seconds = 0.0
        self.reading_since: float | None = None
        self._audio: AudioTap | None = None
        self._container, self._video = open_input(endpoint, options.timeout_seconds, standard_input)
        try:
            video = self._video
            for stream in self._container.streams:
                if stream is not video:
                    stream.discard = Discard.all
            self.is_snapshot = endpoint.may_be_recording and self._container.format.name.endswith("_pipe")
            self.is_recording = endpoint.is_recording or (
                endpoint.may_be_recording and self._container.duration is not None and not self.is_snapshot
            )
            # HLS comes in segments of several seconds, all at once.
            is_paced = options.realtime and (self.is_recording or self._container.format.name.startswith("hls"))
            self._is_finite = endpoint.is_finite or self.is_recording or self.is_snapshot
            self._pacer = RealtimePacer(options.max_latency_seconds, stopping.wait) if is_paced else None
            self._backlog = None if self.is_recording or is_paced else BacklogEstimator(options.max_latency_seconds)
            self._decoder = LiveDecoder(
                video,
                endpoint.name,
                is_live=self._backlog is not None,
                max_pixels=options.max_pixels,
                cpu_slot=cpu_slot,
            )
            self._times = CaptureTimes()
            self._thinner = FrameThinner()
            self._skipped_time, self._has_keyframe = 0.0, False
            # FFmpeg assigns a format without timestamps 25 frames a second, regardless of the camera's rate.
            has_none = int(self._container.format.flags) & _NO_TIMESTAMPS or self.is_snapshot
            self._has_timestamps = is_paced or not has_none
            self._time_base = Fraction(video.time_base) if video.time_base else None
            self.codec = video.codec_context.name
        except BaseException:
            self._container.close()
            raise

    def copy_audio(self, to_pts: Callable[[Fraction], int | None], on_packet: Callable[[AudioPacket], object]) -> None:
        """Pass on the packets of the audio stream too; see `AudioTap`."""
        self._audio = AudioTap(self._container, self._endpoint.name, to_pts, on_packet)
        for stream in self._audio.streams:
            stream.discard = Discard.default

    @property
    def skipped(self) -> int:
        """Packets so far that could not be read or decoded."""
        return self._damaged + self._decoder.skipped

    @property
    def average_fps(self) -> Fraction | None:
        """Frames a second, as announced; None if they are not."""
        video = self._video
        fps = video.average_rate or video.codec_context.framerate or video.guessed_rate
        return Fraction(fps) if self._has_timestamps and fps and 0 < fps <= _MAX_FPS else None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel over its height."""
        aspect = self._video.sample_aspect_ratio or self._video.codec_context.sample_aspect_ratio
        return Fraction(aspect or 1) or Fraction(1)

    @property
    def latency_source(self) -> LatencySource:
        """See `CaptureTimes`."""
        return self._times.latency_source

    def close(self) -> None:
        """Close the connection."""
        self._container.close()

    def __iter__(self) -> Iterator[ReceivedFrame]:
        """Yield frames.

        Raises:
            SourceError: it was lost, or no packet could be decoded for too long.
        """
        last_frame_time = time.monotonic()
        stream_seconds = Fraction(0)
        cpu_start, cpu_time = time.thread_time(), last_frame_time
        for packet, arrival_time in self._drop_late(self._packets()):
            for frame in self._decoder.decode(packet) if packet is not None else ():
                last_frame_time = time.monotonic()
                frame_seconds = self._stream_seconds(frame)
                if not self._thinner.keeps(
                    float(arrival_time if frame_seconds is None else frame_seconds), self._frame_limit()
                ):
                    self.thinned += 1
                    continue
                if self._pacer is not None:
                    frame_seconds = stream_seconds = (
                        stream_seconds + 1 / (self.average_fps or _DEFAULT_FPS)
                        if frame_seconds is None
                        else frame_seconds
                    )
                    self._pacer.wait_until_due(frame_seconds)
                    due_time = capture_time = time.monotonic()
                else:
                    due_time = arrival_time
                    capture_time = self._times.capture_time(frame_seconds, time.monotonic())
                if self._stopping.is_set():
                    return
                if last_frame_time - cpu_time > _CPU_PERIOD_SECONDS:
                    # A system call, which takes 0.1 ms on some machines.
                    cpu_time, self.cpu_seconds = last_frame_time, time.thread_time() - cpu_start
                yield ReceivedFrame(frame, frame_seconds, due_time, capture_time)
                last_frame_time = time.monotonic()
            limit_seconds = max(self._silence.seconds, 0.0 if self._has_keyframe else _KEYFRAME_SECONDS)
            if time.monotonic() - max(last_frame_time, self._skipped_time) > limit_seconds:
                problem = f"{self._endpoint.name} sent no decodable frame for {limit_seconds:.3g} s"
                raise SourceError(problem, hint="check the camera's codec")

    def _packets(self) -> Iterator[Packet[Any]]:
        """Yield packets of the video; an empty one follows the last and flushes the decoder."""
        streams = [self._video, *(self._audio.streams if self._audio else ())]
        packets = self._container.demux(streams)
        name = self._endpoint.name
        errors = num_packets = 0
        last_video_time = time.monotonic()
        while not self._stopping.is_set():
            try:
                self.reading_since = time.monotonic()
                packet = next(packets, None)
                self.reading_since = None
                errors = 0
            except (av.error.InvalidDataError, av.error.BlockingIOError):
                errors += 1
                self._damaged += 1
                if errors >= _MAX_CONSECUTIVE_ERRORS:
                    raise SourceError(f"{name} is damaged: the rest cannot be read") from None
                packets = self._container.demux(streams)
                continue
            except IndexError:
                # PyAV does not know a stream whose first packet comes after opening.
                packets = self._container.demux(streams)
                continue
            except (av.error.ExitError, TimeoutError):
                raise SourceError(f"{name} sent no data for {self._silence.seconds:.3g} s") from None
            except (av.error.FFmpegError, OSError) as error:
                if self.is_snapshot and num_packets:
                    return  # HTTP/1.0 without a length
                raise SourceError(f"{name} was interrupted: {error.strerror or type(error).__name__}") from None
            if packet is None:
                if self._is_finite:
                    return
                raise SourceError(f"{name} closed the connection")
            num_packets += 1
            if self._audio and self._audio.take(packet):
                # Audio alone keeps reads alive.
                if time.monotonic() - last_video_time > self._silence.seconds:
                    raise SourceError(f"{name} sent no video for {self._silence.seconds:.3g} s")
                continue
            yield packet
            last_video_time = time.monotonic()

    def _drop_late(self, packets: Iterator[Packet[Any]]) -> Iterator[tuple[Packet[Any] | None, float]]:
        """Yield the packets, and when each was due, in `time.monotonic` seconds.

        None for a packet to skip: decoding is late, waits for a keyframe, or decodes nothing else.
        """
        previous_seconds: Fraction | None = None
        has_keyframe, is_late = self.codec not in _LENIENT_DECODERS, False
        done_time = request_time = time.monotonic()
        for packet in packets:
            read_time = due_time = time.monotonic()
            self._silence.record_data(read_time)
            self._has_keyframe = self._has_keyframe or packet.is_keyframe
            has_keyframe = has_keyframe or packet.is_keyframe or not packet.size
            packet_seconds = self._stream_seconds(packet)
            if packet.size and self._backlog is not None:
                self._times.record_packet(packet, packet_seconds, read_time)
                step_seconds = (
                    None
                    if packet_seconds is None or previous_seconds is None or packet_seconds < previous_seconds
                    else packet_seconds - previous_seconds
                )
                previous_seconds = packet_seconds
                waited_seconds = read_time - request_time
                is_newest = self._times.is_newest(waited_seconds, step_seconds)
                due_time -= 0.0 if is_newest else self._times.delay_seconds
                was_late, is_late = (
                    is_late,
                    has_keyframe
                    and self._backlog.should_drop(
                        step_seconds=step_seconds,
                        busy_seconds=request_time - done_time,
                        waited_seconds=waited_seconds,
                        is_keyframe=packet.is_keyframe,
                    ),
                )
                if was_late and not is_late:
                    self._decoder.flush()
                self.dropped += is_late
            is_thinned = has_keyframe and not is_late and self._is_thinned(packet, packet_seconds, read_time)
            if is_late or is_thinned:
                self._skipped_time = read_time
            done_time = read_time
            yield packet if has_keyframe and not (is_late or is_thinned) else None, due_time
            request_time = time.monotonic()

    def _is_thinned(self, packet: Packet[Any], seconds: Fraction | None, now: float) -> bool:
        """Return whether to drop a packet because of ``frame_limit``."""
        limit = self._frame_limit()
        fps = float(self.average_fps or _DEFAULT_FPS)
        self._decoder.limit_fps(limit.max_fps, fps)
        if not packet.size or self._thinner.decodes(
            now if seconds is None else float(seconds), is_keyframe=packet.is_keyframe, limit=limit, fps=fps
        ):
            return False
        self.thinned += 1
        return True

    def _stream_seconds(self, item: VideoFrame | Packet[Any]) -> Fraction | None:
        """Return a frame's display or a packet's decoding time, in stream seconds."""
        first, second = (item.pts, item.dts) if isinstance(item, VideoFrame) else (item.dts, item.pts)
        ticks = first if first is not None else second
        if not self._has_timestamps or ticks is None or self._time_base is None:
            return None
        return ticks * self._time_base
