"""The protocol of video encoders, and the encoder of a whole video."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from .frame_times import set_decoding_times
from .segments import FrameOutput

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from .encoder_settings import Converter

_MAX_UNTIMED_PACKETS = 2
"""If there are no more frames, x265 leaves their decoding times unset."""


class VideoEncoder(Protocol):
    """Encodes the frames of one video, in order.

    Not safe to use from two threads at once. `close` ends it in any state.
    """

    def encode(
        self, frame: VideoFrame, copied: tuple[Packet[Any], ...], *, starts_chunk: bool
    ) -> Iterable[FrameOutput]:
        """Take a frame; return what is ready for the muxer, in order.

        Args:
            frame: with the time and the duration that the file gets.
            copied: packets of copied streams that were read before the frame.
            starts_chunk: the frame is the first of a chunk.
        """
        ...

    def copy_last(self, copied: tuple[Packet[Any], ...]) -> Iterable[FrameOutput]:
        """Take packets of copied streams that come after the last frame; return what is ready."""
        ...

    def finish(self) -> Iterable[FrameOutput]:
        """Return all the rest; no frame may follow."""
        ...

    def close(self) -> None:
        """End all threads, and drop what is not encoded."""
        ...


class SingleEncoder:
    """One encoder for all frames, in the thread of the caller; see `VideoEncoder`.

    Args:
        stream: the video stream of the output, its encoder open.
        convert: to the encoder's size and pixel format.
        first_packets: what the encoder returned for the first frame, if it had to open with it.
    """

    def __init__(
        self, stream: VideoStream, convert: Converter, first_packets: list[Packet[VideoStream]] | None = None
    ) -> None:
        self._stream = stream
        self._convert = convert
        self._first_packets = first_packets
        self._num_frames = 0

    def encode(
        self, frame: VideoFrame, copied: tuple[Packet[Any], ...], *, starts_chunk: bool
    ) -> Iterable[FrameOutput]:
        """See `VideoEncoder`."""
        if self._first_packets is None:
            packets = self._stream.encode(self._convert(frame))
        else:
            packets, self._first_packets = self._first_packets, None
        self._num_frames += 1
        return [FrameOutput(copied, packets)]

    def copy_last(self, copied: tuple[Packet[Any], ...]) -> Iterable[FrameOutput]:
        """See `VideoEncoder`."""
        return [FrameOutput(copied)]

    def finish(self) -> Iterable[FrameOutput]:
        """See `VideoEncoder`."""
        packets = self._stream.encode()
        if max(len(packets), self._num_frames) <= _MAX_UNTIMED_PACKETS:
            set_decoding_times(packets)
        return [FrameOutput((), packets)]

    def close(self) -> None:
        """See `VideoEncoder`."""
