"""Several encoders at once, each on a segment of the video."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..concurrency.group import Cancelled, StageGroup
from .encoder_settings import Converter
from .scheduling import keep_scheduling
from .segments import (
    EncodedPacket,
    FrameOutput,
    Segment,
    SegmentJoiner,
    SegmentSettings,
    buffer_bytes,
    join_segments,
)

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_SHUTDOWN_SECONDS = 60.0
"""Seconds to wait at the end for encoders that finish a frame: a slow one takes many for 8K."""


@dataclass(slots=True, eq=False)
class _Part:
    """A segment on its way: frames come in, a segment comes out."""

    ends_chunk: bool = False
    is_complete: bool = False
    is_started: bool = False
    frames: deque[VideoFrame] = field(default_factory=deque)
    copied: list[tuple[Packet[Any], ...]] = field(default_factory=list)
    segment: Segment | None = None
    is_stored: bool = False
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.segment is not None or self.error is not None


class SegmentEncoder:
    """Encode consecutive segments at the same time, and join them.

    See `VideoEncoder`.

    A segment begins at the first frame of a chunk, and after so many frames. Each has an encoder of its own with a
    fixed number of threads, so the result depends neither on the machine nor on how many are encoded at once. While a
    segment is encoded, frames of the next ones wait: with ``n`` encoders, and segments of ``m`` frames, about
    ``m * (n - 1) / 2``. The caller waits when they take too much memory.

    Args:
        stream: the video stream of the output; its encoder, open, describes the stream and gets no frame: as long as
            the file is open, it would keep its memory.
        make_encoder: returns an encoder with the settings of the stream's, not open.
        make_converter: returns a converter for one thread.
        settings: see `SegmentSettings`.
        on_chunk: called with each encoded chunk, in order, before it is returned.
    """

    def __init__(
        self,
        stream: VideoStream,
        make_encoder: Callable[[], VideoCodecContext],
        make_converter: Callable[[], Converter],
        settings: SegmentSettings,
        on_chunk: Callable[[Segment], None] | None = None,
    ) -> None:
        self._settings = settings
        self._make_encoder, self._make_converter = make_encoder, make_converter
        self._encoder_name, self._time_base = stream.codec_context.name, Fraction(stream.codec_context.time_base)
        self._extradata = bytes(stream.codec_context.extradata or b"")
        self._joiner = SegmentJoiner(stream)
        self._on_chunk = on_chunk
        self._chunk: list[Segment] = []
        self._parts: deque[_Part] = deque()
        self._current: _Part | None = None
        self._trailing: list[Packet[Any]] = []
        self._waiting_bytes = 0
        self._is_last_known = self._cancelled = False
        self._condition = threading.Condition()
        self._opening = threading.Lock()  # of encoders: see keep_scheduling
        self._group = StageGroup(_SHUTDOWN_SECONDS)
        for number in range(settings.encoders):
            self._group.spawn(self._serve, stop=self._cancel, name=f"encode-{number}")

    def encode(
        self, frame: VideoFrame, copied: tuple[Packet[Any], ...], *, starts_chunk: bool
    ) -> Iterator[FrameOutput]:
        """See `VideoEncoder`."""
        if self._current is not None and (starts_chunk or len(self._current.copied) >= self._settings.max_frames):
            self._complete(ends_chunk=starts_chunk)
        if self._current is None:
            # One more than there are encoders: its first frames wait while the last ones of another are flushed.
            yield from self._outputs(lambda: len(self._parts) <= self._settings.encoders)
            with self._condition:
                self._current = _Part()
                self._parts.append(self._current)
        size = buffer_bytes(frame)
        yield from self._outputs(
            lambda: not self._waiting_bytes or self._waiting_bytes + size <= self._settings.max_waiting_bytes
        )
        with self._condition:
            self._current.frames.append(frame)
            self._current.copied.append(copied)
            self._waiting_bytes += size
            self._condition.notify_all()

    def add_chunk(self, segment: Segment, copied: Sequence[tuple[Packet[Any], ...]]) -> Iterator[FrameOutput]:
        """Take a chunk that is encoded already; it is not stored again.

        Args:
            segment: the chunk.
            copied: for each of its frames, packets of copied streams that were read before it.

        Raises:
            ValueError: it was encoded with other settings.
        """
        if self._current is not None:
            self._complete(ends_chunk=True)
        if not segment.fits(self._segment(())):
            raise ValueError("a stored segment of the video was encoded with other settings")
        with self._condition:
            self._parts.append(
                _Part(is_complete=True, is_started=True, segment=segment, is_stored=True, copied=list(copied))
            )
        yield from self._outputs(lambda: True)

    def copy_last(self, copied: tuple[Packet[Any], ...]) -> Iterator[FrameOutput]:
        """See `VideoEncoder`."""
        self._trailing += copied
        yield from self._outputs(lambda: True)

    def finish(self) -> Iterator[FrameOutput]:
        """See `VideoEncoder`."""
        if self._current is not None:
            self._complete(ends_chunk=True)
        self._is_last_known = True
        yield from self._outputs(lambda: not self._parts)
        yield from self._joiner.finish()
        if self._trailing:
            yield FrameOutput(tuple(self._trailing))

    def close(self) -> None:
        """See `VideoEncoder`."""
        self._group.__exit__(None, None, None)

    def _complete(self, *, ends_chunk: bool) -> None:
        """No frame is added to the current segment."""
        with self._condition:
            assert self._current is not None
            self._current.ends_chunk, self._current.is_complete = ends_chunk, True
            self._current = None
            self._condition.notify_all()

    def _outputs(self, is_enough: Callable[[], bool]) -> Iterator[FrameOutput]:
        """Return what is encoded, in order; wait until it is enough, or a segment has failed."""
        while True:
            with self._condition:
                while not self._is_first_ready() and not (is_enough() and not any(part.error for part in self._parts)):
                    self._condition.wait()
                if not self._is_first_ready():
                    return
                part = self._parts.popleft()
                self._condition.notify_all()
            if part.error is not None:
                raise part.error
            assert part.segment is not None
            yield from self._joined(part, part.segment)

    def _is_first_ready(self) -> bool:
        """Return True if the first segment is done; one that may be the last of the video waits for `finish`."""
        if not (self._parts and self._parts[0].is_done):
            return False
        return len(self._parts) > 1 or self._is_last_known or self._parts[0].error is not None

    def _joined(self, part: _Part, segment: Segment) -> list[FrameOutput]:
        if self._on_chunk is not None and not part.is_stored:
            self._chunk.append(segment)
            if part.ends_chunk:
                self._on_chunk(join_segments(self._chunk))
                self._chunk.clear()
        return self._joiner.join(segment, part.copied)

    def _serve(self) -> None:
        """Encode segments until the end, in a thread of its own."""
        convert: Converter | None = None
        while True:
            with self._condition:
                while (part := next((one for one in self._parts if not one.is_started), None)) is None:
                    self._wait()
                part.is_started = True
            try:
                convert = convert or self._make_converter()
                segment = self._encode(part, self._open(), convert)
            except Cancelled:
                raise
            except BaseException as error:
                self._fail(part, error)
            else:
                with self._condition:
                    part.segment = segment
                    self._condition.notify_all()

    def _open(self) -> VideoCodecContext:
        context = self._make_encoder()
        with self._opening, keep_scheduling():
            context.open()
        if bytes(context.extradata or b"") != self._extradata:
            raise ValueError("the encoder returned another header for the same settings")
        return context

    def _encode(self, part: _Part, context: VideoCodecContext, convert: Converter) -> Segment:
        packets: list[Packet[VideoStream]] = []
        while (frame := self._next_frame(part)) is not None:
            packets += context.encode(convert(frame))
            del frame  # the next one may need its memory
        packets += context.encode()
        return self._segment(tuple(map(EncodedPacket.from_packet, packets)))

    def _next_frame(self, part: _Part) -> VideoFrame | None:
        with self._condition:
            while not (part.frames or part.is_complete):
                self._wait()
            if self._cancelled:
                raise Cancelled
            if not part.frames:
                return None
            frame = part.frames.popleft()
            self._waiting_bytes -= buffer_bytes(frame)
            self._condition.notify_all()
            return frame

    def _fail(self, part: _Part, error: BaseException) -> None:
        with self._condition:
            part.error = error
            self._waiting_bytes -= sum(map(buffer_bytes, part.frames))
            part.frames.clear()
            self._condition.notify_all()

    def _wait(self) -> None:
        if self._cancelled:
            raise Cancelled
        self._condition.wait()

    def _cancel(self) -> None:
        with self._condition:
            self._cancelled = True
            self._condition.notify_all()

    def _segment(self, packets: tuple[EncodedPacket, ...]) -> Segment:
        settings = self._settings
        return Segment(
            packets, self._time_base, self._encoder_name, self._extradata, settings.frame_size, settings.reorder_depth
        )
