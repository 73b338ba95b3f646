"""Encoded segments of a video: values that can be stored, and their joining into one stream.

A segment is closed: it begins with a keyframe, and no frame refers to one outside of it. So segments can be encoded at
the same time, or in other processes, and stored. Joined in order they are one stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.packet import Packet

from ..geometry import Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One encoded frame.

    Attributes:
        data: the frame, as the encoder returned it.
        pts: presentation time in units of the segment's time base.
        duration: in the same units.
        is_keyframe: True if decoding can begin with it.
    """

    data: bytes
    pts: int
    duration: int
    is_keyframe: bool

    @classmethod
    def from_packet(cls, packet: Packet[Any]) -> EncodedPacket:
        """Return the content of an encoder's packet."""
        if packet.pts is None:
            raise ValueError("the encoder returned a packet without a time")
        return cls(bytes(packet), packet.pts, packet.duration or 0, packet.is_keyframe)


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed part of an encoded video, whole.

    Decoding times are not stored: they depend on the frames before, and `SegmentJoiner` sets them.

    Attributes:
        packets: one a frame, in decoding order.
        time_base: of their times: that of the source.
        encoder: FFmpeg's name of the encoder.
        extradata: the header of the stream; equal in all segments of a video.
        frame_size: ``(width, height)`` of the frames before encoding, which may make them smaller.
        reorder_depth: frames by which decoding begins earlier than showing; equal in all segments of a video.
    """

    packets: tuple[EncodedPacket, ...]
    time_base: Fraction
    encoder: str
    extradata: bytes
    frame_size: Size
    reorder_depth: int

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.packets)

    @property
    def pts(self) -> list[int]:
        """Presentation times in the order of showing."""
        return sorted(packet.pts for packet in self.packets)

    def fits(self, other: Segment) -> bool:
        """Return True if both can be parts of one stream."""
        return replace(self, packets=()) == replace(other, packets=())


def join_segments(segments: Sequence[Segment]) -> Segment:
    """Return consecutive segments as one.

    Raises:
        ValueError: no segment, or segments with different headers.
    """
    if not segments:
        raise ValueError("no segments to join")
    check_fit(segments[0], segments[1:])
    return replace(segments[0], packets=tuple(packet for one in segments for packet in one.packets))


def buffer_bytes(frame: VideoFrame) -> int:
    """Return the memory of a frame."""
    return sum(plane.buffer_size for plane in frame.planes)


def check_fit(first: Segment, others: Iterable[Segment]) -> None:
    """Check that segments are parts of one stream.

    Raises:
        ValueError: they are not.
    """
    if not all(first.fits(other) for other in others):
        raise ValueError("segments of the video were encoded with other settings")


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """Packets that go to the muxer with one frame.

    Attributes:
        copied: packets of copied streams that were read before the frame.
        packets: encoded video; with reordering or look-ahead not that of the same frame.
    """

    copied: tuple[Packet[Any], ...] = ()
    packets: Sequence[Packet[VideoStream]] = ()


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How a video is cut and encoded in segments.

    Attributes:
        encoders: segments encoded at once.
        max_frames: frames in a segment; a longer chunk is several segments.
        max_waiting_bytes: memory of the frames that wait for their encoder; one frame may exceed it.
        frame_size: ``(width, height)`` of the frames before encoding.
        reorder_depth: frames by which the encoder's decoding times are earlier than its presentation times.
    """

    encoders: int
    max_frames: int
    max_waiting_bytes: int
    frame_size: Size
    reorder_depth: int


class SegmentJoiner:
    """Makes one stream of packets from segments in order.

    With a reorder depth of ``d``, the decoding time of the n-th packet is the presentation time of the frame that is
    shown ``d`` frames earlier than the n-th, which is not later than its own. The first ``d`` are as far apart as their
    frames. So decoding times increase strictly, across segments too, and are those of one encoder of the whole video.

    Args:
        stream: the packets' stream in the output.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._first: Segment | None = None
        self._waiting: list[tuple[EncodedPacket, tuple[Packet[Any], ...]]] = []
        self._shown_pts: list[int] = []
        self._num_joined = self._first_shown = self._lead_ticks = 0

    def join(self, segment: Segment, copied: Sequence[tuple[Packet[Any], ...]]) -> list[FrameOutput]:
        """Return the packets for the muxer, one with each frame.

        Args:
            segment: the next one.
            copied: for each of its frames, packets of copied streams that were read before it.

        Raises:
            ValueError: another number of packets than of frames, or other settings than before.
        """
        self._first = self._first or segment
        check_fit(self._first, (segment,))
        if segment.num_frames != len(copied):
            raise ValueError(f"the encoder returned {segment.num_frames} packets for {len(copied)} frames")
        self._waiting += zip(segment.packets, copied, strict=True)
        self._shown_pts += segment.pts
        if not self._num_joined and len(self._shown_pts) <= segment.reorder_depth:
            return []
        return self._release(segment.reorder_depth)

    def finish(self) -> list[FrameOutput]:
        """Return what has waited: a video of no more frames than its reorder depth."""
        order = {pts: place for place, pts in enumerate(self._shown_pts)}
        depth = max((number - order[packet.pts] for number, (packet, _) in enumerate(self._waiting)), default=0)
        return self._release(depth)

    def _release(self, depth: int) -> list[FrameOutput]:
        outputs = []
        for packet, copied in self._waiting:
            outputs.append(FrameOutput(copied, (self._timed(packet, depth),)))
            self._num_joined += 1
        self._waiting.clear()
        # Only the last frames are needed for the decoding times of the next segment.
        num_past = max(0, len(self._shown_pts) - depth)
        del self._shown_pts[:num_past]
        self._first_shown += num_past
        return outputs

    def _timed(self, encoded: EncodedPacket, depth: int) -> Packet[VideoStream]:
        assert self._first is not None
        if not self._num_joined:
            self._lead_ticks = self._shown_pts[depth] - self._shown_pts[0]
        number = self._num_joined
        if number < depth:
            dts = self._shown_pts[number] - self._lead_ticks
        else:
            dts = self._shown_pts[number - depth - self._first_shown]
        if dts > encoded.pts:
            raise ValueError(f"the encoder reorders more than {depth} frames")
        packet: Packet[Any] = Packet(encoded.data)
        packet.stream, packet.time_base = self._stream, self._first.time_base
        packet.pts, packet.dts, packet.duration = encoded.pts, dts, encoded.duration
        packet.is_keyframe = encoded.is_keyframe
        return packet
