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

from ..config import CameraOptions
from ..errors import SourceError
from .addresses import Address
from .opening import choose_video
from .pace import Lateness, Pace

_NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_LARGEST_RATE = 1000
_ASSUMED_RATE = Fraction(25)
_INVENTIVE = {"flv", "h263", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4"}
"""Decoders that make a picture up before the first key frame; the others wait for it."""
_ERRORS_IN_A_ROW = 100
_DESCRIPTOR = 0
"""Standard input's."""
_GLANCE = 0.1
"""Seconds after which a wait for standard input looks whether it is to end."""


class Connection:
    """Decoded frames of a camera, for one thread, which opens it, iterates over it and closes it.

    Attributes:
        rate: frames a second as announced, None where they are not.
        pixel_aspect: width of a stored pixel over its height.
        codec: its name.
        dropped: packets that were left out because decoding was late, so far.
        skipped: packets that could not be decoded, so far.
    """

    def __init__(
        self, address: Address, options: CameraOptions, stopping: threading.Event, silent: Callable[[str], None]
    ) -> None:
        """Opens it, which takes twice the timeout at most.

        Args:
            address: what is opened.
            options: timeout and bound of the age.
            stopping: ends every wait that can be ended from here.
            silent: told in one line, where a source that cannot be opened again says nothing for longer than the
                timeout.

        Raises:
            SourceError: it cannot be opened, or has no video.
        """
        self._address = address
        self._timeout = options.timeout
        self._stopping = stopping
        self.dropped = self.skipped = 0
        self._container = self._opened(silent)
        try:
            self._video = video = choose_video(self._container, address.name)
            for stream in self._container.streams:
                if stream is not video:
                    stream.discard = Discard.all
            # Threads that each decode a frame would delay them by as many frames.
            video.thread_type = ThreadType.SLICE
            video.codec_context.flags |= Flags.low_delay
            recorded = address.recorded or (address.recordings and self._container.duration is not None)
            # HLS comes in segments of several seconds, all at once.
            paced = options.realtime and (recorded or self._container.format.name.startswith("hls"))
            self._ends = address.ends or recorded
            self._pace = Pace(options.max_age, stopping.wait) if paced else None
            self._lateness = None if recorded or paced else Lateness(options.max_age)
            rate = video.average_rate or video.guessed_rate
            self.rate = Fraction(rate) if rate and 0 < rate <= _LARGEST_RATE else None
            # A format without time stamps is given those of 25 frames a second, whatever the camera's rate.
            self._timed = paced or not int(self._container.format.flags) & _NO_TIMESTAMPS
            if not self._timed:
                self.rate = None
            self.pixel_aspect = Fraction(video.sample_aspect_ratio or 1) or Fraction(1)
            self.codec = video.codec_context.name
        except BaseException:
            self._container.close()
            raise

    def close(self) -> None:
        """Closes it."""
        self._container.close()

    def __iter__(self) -> Iterator[tuple[VideoFrame, Fraction | None, float]]:
        """Yields a frame, its time in the stream in seconds where that tells, and when it came (`time.monotonic`).

        Raises:
            SourceError: it was lost, or nothing that could be decoded came for longer than the timeout.
        """
        seen = time.monotonic()
        streamed = Fraction(0)
        for packet in self._punctual(self._packets()):
            arrived = time.monotonic()
            for picture in self._decode(packet):
                told = self._time_of(picture)
                if self._pace is not None:
                    told = streamed = streamed + 1 / (self.rate or _ASSUMED_RATE) if told is None else told
                    self._pace.hold(told)
                    arrived = time.monotonic()
                if self._stopping.is_set():
                    return
                yield picture, told, arrived
                seen = time.monotonic()
            if time.monotonic() - seen > self._timeout:
                what = f"{self._address.name} sent nothing that can be decoded for {self._timeout:g} s"
                raise SourceError(what, do="check the camera's codec")

    def _opened(self, silent: Callable[[str], None]) -> InputContainer:
        began = time.monotonic()
        address = self._address
        # A wait for standard input is ended there.
        file = address.file or _StandardInput(self._stopping, self._timeout, silent)
        timeout = self._timeout if address.file else None
        try:
            return av.open(
                file, "r", format=address.format, options=address.options, timeout=timeout, metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # FFmpeg calls a mute peer invalid data, or an I/O error, with some protocols.
            mute = address.file and time.monotonic() - began >= 0.9 * self._timeout
            # The chain would show the credentials that the message masks.
            raise address.refused(TimeoutError() if mute else error) from None

    def _packets(self) -> Iterator[Packet[Any]]:
        """Packets of the video; after the last one an empty one, which brings out what the decoder still holds."""
        packets = self._container.demux(self._video)
        name = self._address.name
        errors = 0
        while not self._stopping.is_set():
            try:
                packet = next(packets, None)
                errors = 0
            except av.error.InvalidDataError:
                errors += 1
                self.skipped += 1
                if errors >= _ERRORS_IN_A_ROW:
                    raise SourceError(f"{name} is damaged: nothing more of it can be read") from None
                packets = self._container.demux(self._video)
                continue
            except (av.error.ExitError, TimeoutError):
                raise SourceError(f"{name} has fallen silent: nothing came for {self._timeout:g} s") from None
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(f"{name} broke off: {error.strerror or type(error).__name__}") from None
            if packet is None:
                if self._ends:
                    return
                raise SourceError(f"{name} closed the connection")
            yield packet

    def _punctual(self, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any] | None]:
        """The packets; None in place of one that a late decoder leaves out, or that it would invent a picture for."""
        before: Fraction | None = None
        begun, late = self.codec not in _INVENTIVE, False
        done = asked = time.monotonic()
        for packet in packets:
            read = time.monotonic()
            begun = begun or packet.is_keyframe or not packet.size
            if begun and self._lateness is not None and packet.size:
                told = self._time_of(packet)
                step = None if told is None or before is None or told < before else told - before
                was, late = (
                    late,
                    self._lateness.leaves_out(
                        step=step, busy=asked - done, waited=read - asked, key=packet.is_keyframe
                    ),
                )
                if was and not late:
                    self._video.codec_context.flush_buffers()
                self.dropped += late
                before = told
            done = read
            yield packet if begun and not late else None
            asked = time.monotonic()

    def _decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        if packet is None:
            return []
        try:
            return self._video.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.skipped += 1
            return []

    def _time_of(self, item: VideoFrame | Packet[Any]) -> Fraction | None:
        """Seconds of the stream: of a frame when it is shown, of a packet when it is to be decoded."""
        first, second = (item.pts, item.dts) if isinstance(item, VideoFrame) else (item.dts, item.pts)
        ticks = first if first is not None else second
        if not self._timed or ticks is None or item.time_base is None:
            return None
        return ticks * Fraction(item.time_base)


class _StandardInput:
    """Standard input as a file for PyAV, whose reads end when the camera is stopped."""

    name = "standard input"

    def __init__(self, stopping: threading.Event, timeout: float, silent: Callable[[str], None]) -> None:
        self._stopping = stopping
        self._timeout = timeout
        self._silent = silent

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        if sys.platform != "win32":
            since, told = time.monotonic(), False
            while not select.select([_DESCRIPTOR], [], [], _GLANCE)[0]:
                if self._stopping.is_set():
                    return b""
                if not told and time.monotonic() - since > self._timeout:
                    told = True
                    self._silent(f"standard input has been silent for {self._timeout:g} s")
        return os.read(_DESCRIPTOR, size)
