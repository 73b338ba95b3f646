"""Reading a window of a file: seek, demux, decode, and leave out what is outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .packet_reader import PacketReader
from .passthrough import PassthroughQueue
from .timing import NO_TIMESTAMPS, FileClock, shown_before

_SEEK_BACK_SECONDS = (0, 2, 10)
"""Seconds before the start at which to seek a keyframe, tried in this order."""
_READ_PAST_END_SECONDS = Fraction(2)
"""Seconds to read beyond the end for packets interleaved late."""


class WindowReader:
    """Decodes a window; collects the packets of copied streams.

    Args:
        container: the file.
        video: the stream to decode.
        reader: of the file.
        clock: of the file, with the window.
        has_start: frames before the window are dropped; False to read from the file's beginning.
        is_chunk: the window is a chunk of a larger one: no frame from before it belongs to it.

    Attributes:
        passthrough: packets of copied streams in the window.
        num_untimed: frames without a time stamp.
        reached_seconds: end of the last packet, in the file's time.
        lacks_index: True if a seek failed, and the file was read from its beginning.
    """

    def __init__(
        self,
        container: InputContainer,
        video: VideoStream,
        reader: PacketReader,
        clock: FileClock,
        *,
        has_start: bool,
        is_chunk: bool,
    ) -> None:
        self._container, self._video, self._reader = container, video, reader
        self._clock, self._timeline = clock, clock.timeline
        self._has_start, self._is_chunk = has_start, is_chunk
        self._first_seconds = Fraction(container.start_time or 0, 1_000_000)
        self._earliest_seconds: Fraction | None = None
        self._first_key_seconds: Fraction | None = None
        self._last_raw_pts: int | None = None
        self.passthrough = PassthroughQueue(self._timeline)
        self.num_untimed = 0
        self.reached_seconds = Fraction(0)
        self.lacks_index = False

    def find_first_frame(self) -> tuple[VideoFrame | None, Iterator[VideoFrame]]:
        """Return the window's first frame, and an iterator over the rest.

        It is None if the window has no frame.
        """
        has_timestamps = not int(self._container.format.flags) & NO_TIMESTAMPS
        if self._has_start and has_timestamps and self._video.codec_context.name == "h264":
            # The decoder must know the version of x264, which is stored before the first frame only: some versions
            # wrote 4:4:4 differently, and decode to a wrong image without it.
            with contextlib.suppress(av.error.FFmpegError, StopIteration, IndexError):
                next(self._container.decode(self._video))
        for seek_back_seconds in _SEEK_BACK_SECONDS if self._has_start and has_timestamps else ():
            # Some formats seek by time alone: frames cannot be decoded until the next keyframe.
            if not self._seek(max(self._clock.begin_seconds - seek_back_seconds, Fraction(0))):
                break
            frames = self._decode()
            first = next(frames, None)
            if self._begins_before_window():
                return first, frames
        if self._has_start and has_timestamps and not self._seek(self._first_seconds):
            self.lacks_index = True
        frames = self._decode()
        return next(frames, None), frames

    def copied_packets(self) -> Iterator[Packet[Any]]:
        """Yield the window's packets of copied streams to its end; decode nothing further."""
        yield from self.passthrough.pop_ready()
        for packet in self._reader.packets():
            if packet.size and packet.stream is not self._video:
                self._queue_passthrough(packet)
                yield from self.passthrough.pop_ready()
            if self._clock.end_seconds is not None and self._is_past_end(packet):
                break
        yield from self.passthrough.pop_ready(flush=True)

    def _begins_before_window(self) -> bool:
        """Return True if decoding began early enough for the window.

        Frames that precede their keyframe in time need those before it. A file that is indexed by decoding times may be
        sought to such a keyframe.
        """
        begin_seconds = self._clock.begin_seconds
        return (
            self._earliest_seconds is not None
            and self._earliest_seconds <= begin_seconds
            and (self._first_key_seconds is None or self._first_key_seconds <= begin_seconds)
        )

    def _seek(self, seconds: Fraction) -> bool:
        """Seek to the keyframe before ``seconds``; return False if impossible."""
        self.passthrough.reset()
        self._earliest_seconds = self._first_key_seconds = self._last_raw_pts = None
        self.num_untimed = 0
        self._reader.restart()
        try:
            self._container.seek(int(seconds / self._timeline.time_base), stream=self._video)
        except (av.error.FFmpegError, OverflowError):  # a time beyond 64 bits
            return False
        return True

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield the window's frames as presented; queue copied packets on the way.

        If the first of them comes late, the frame on screen at the window's beginning comes before it.
        """
        finished = False
        shown_frame: VideoFrame | None = None
        begin_seconds, end_seconds = self._clock.begin_seconds, self._clock.end_seconds
        for packet in self._reader.packets():
            if packet.stream is not self._video:
                if packet.size:
                    self._queue_passthrough(packet)
            elif not finished:
                self._update_reached(packet)
                if self._first_key_seconds is None and packet.is_keyframe and packet.pts is not None:
                    self._first_key_seconds = packet.pts * self._timeline.time_base
                for frame in self._reader.decode(packet):
                    pts = self._set_raw_pts(frame)
                    frame_seconds = pts * self._timeline.time_base
                    self._earliest_seconds = frame_seconds if self._earliest_seconds is None else self._earliest_seconds
                    if self._has_start and frame_seconds < begin_seconds:
                        shown_frame = None if self._is_chunk else frame
                        continue
                    if shown_frame is not None and (
                        span := shown_before(self._timeline, begin_seconds, end_seconds, pts)
                    ):
                        shown_frame.pts, shown_frame.duration = span
                        yield shown_frame
                    shown_frame = None
                    if end_seconds is not None and frame_seconds >= end_seconds:
                        finished = True
                        break
                    yield frame
                    del frame
            if finished and self._is_past_end(packet):
                return

    def _set_raw_pts(self, frame: VideoFrame) -> int:
        """Return the frame's pts; assign a missing one at the stream's rate."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self._last_raw_pts is None else self._last_raw_pts + self._timeline.step_ticks
            self.num_untimed += 1
        frame.pts = self._last_raw_pts = pts
        return pts

    def _queue_passthrough(self, packet: Packet[Any]) -> None:
        """Queue a packet of a copied stream that lies in the window."""
        self._update_reached(packet)
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None or packet.time_base is None:
            return
        time_base, end_seconds = Fraction(packet.time_base), self._clock.end_seconds
        packet_seconds = (packet.dts if packet.pts is None else packet.pts) * time_base
        if (self._has_start and packet_seconds < self._clock.begin_seconds) or (
            end_seconds is not None and packet_seconds >= end_seconds
        ):
            return
        self.passthrough.add(packet, packet.dts * time_base)

    def _is_past_end(self, packet: Packet[Any]) -> bool:
        assert self._clock.end_seconds is not None
        if not self._reader.has_other_streams:
            return True
        if packet.dts is None or packet.time_base is None:
            return False
        return packet.dts * Fraction(packet.time_base) >= self._clock.end_seconds + _READ_PAST_END_SECONDS

    def _update_reached(self, packet: Packet[Any]) -> None:
        times = [time + (packet.duration or 0) for time in (packet.pts, packet.dts) if time is not None]
        if times and packet.time_base is not None:
            self.reached_seconds = max(self.reached_seconds, max(times) * Fraction(packet.time_base))
