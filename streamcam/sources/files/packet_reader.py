"""Demuxing and decoding that another thread may end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..frame_limits import exceeds, refused_size
from .tail import TailDecoder

if TYPE_CHECKING:
    from ...geometry import Size

_MAX_CONSECUTIVE_ERRORS = 100

_DAMAGE_ERRORS = (av.error.InvalidDataError, av.error.BlockingIOError, av.error.MemoryError, av.error.ArgumentError)
"""Errors of reading after which the rest may be readable; a damaged length asks for more memory than there is."""


class PacketReader:
    """Demuxes a container and decodes its video.

    One thread reads; any thread may close.

    Args:
        container: open, with its streams chosen.
        video: the stream to decode.
        other_streams: further streams to demux.
        translate_error: from an error of reading to the error to raise.
        max_pixels: most pixels of a frame.

    Attributes:
        skipped: packets skipped so far.
        refused: those of them whose frame is larger than allowed.
        refused_size: size of the last of these; ``(0, 0)`` if unknown.
        late_streams: streams that began after the file was opened, and are not read.
        closed: True once `close` was called.
    """

    def __init__(
        self,
        container: InputContainer,
        video: VideoStream,
        other_streams: tuple[Any, ...],
        translate_error: Callable[[Exception], Exception],
        max_pixels: int,
    ) -> None:
        self._container, self._video = container, video
        self._streams = [video, *other_streams]
        self._translate_error = translate_error
        self._max_pixels = max_pixels
        self._lock = threading.Lock()
        self.skipped = self.refused = 0
        self.refused_size: Size = (0, 0)
        self._last_packet: Packet[Any] | None = None
        self._tail = TailDecoder(video, max_pixels)
        self.late_streams = 0
        self.closed = False

    @property
    def has_other_streams(self) -> bool:
        """True if further streams are demuxed."""
        return len(self._streams) > 1

    def packets(self) -> Iterator[Packet[Any]]:
        """Yield the container's packets, then an empty one for each stream."""
        packets = self._container.demux(self._streams)
        errors = 0
        while True:
            with self._lock:
                if self.closed:
                    return
                try:
                    packet = next(packets, None)
                    errors = 0
                except _DAMAGE_ERRORS:
                    errors += 1
                    self.skipped += 1
                    packets = self._container.demux(self._streams)
                    if errors >= _MAX_CONSECUTIVE_ERRORS:
                        return
                    continue
                except IndexError:
                    # PyAV does not know a stream whose first packet comes after opening.
                    self.late_streams += 1
                    packets = self._container.demux(self._streams)
                    continue
                except (av.error.FFmpegError, OSError) as error:
                    raise self._translate_error(error) from None
            if packet is None:
                return
            yield packet

    def restart(self) -> None:
        """Forget what was read, after a seek."""
        self.skipped = 0
        self._tail.reset()

    def decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        """Decode a packet of the video; return no frames after `close`."""
        with self._lock:
            if self.closed:
                return []
            self._last_packet = packet if packet.size else self._last_packet
            self._tail.add(packet)
            try:
                frames = self._video.decode(packet)
            except av.error.EOFError:
                return []
            except av.error.FFmpegError as error:
                context, last_packet = self._video.codec_context, self._last_packet or packet
                self._skip(refused_size(context, error, last_packet, self._max_pixels))
                frames = []
            self._tail.record(frames)
            if not packet.size:
                frames += self._tail.missing_frames()
            for frame in [frame for frame in frames if exceeds((frame.width, frame.height), self._max_pixels)]:
                self._skip((frame.width, frame.height))
                frames.remove(frame)
            return frames

    def _skip(self, size: Size | None) -> None:
        """Count a skipped packet or frame; with a size if that is the reason."""
        self.skipped += 1
        if size is not None:
            self.refused_size = size
            self.refused += 1

    def close(self, timeout_seconds: float) -> None:
        """Close the container once a read in progress returns.

        It also forgets its owner, so that frames and decoder are freed at once.

        If it does not return in time, the file stays open until the process ends: closing it during a read would crash.
        """
        self.closed = True
        if self._lock.acquire(timeout=timeout_seconds):
            try:
                self._container.close()
                self._translate_error = _return_error
            finally:
                self._lock.release()


def _return_error(error: Exception) -> Exception:
    return error
