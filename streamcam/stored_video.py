"""Encoded chunks of a recorded run: stored while it runs, and written again when it is continued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, cast

from .begun_output import is_same_format
from .chunks import open_chunk, remaining_range
from .errors import StreamcamError
from .frames import ExplainedFrame, Frame, FrameRange
from .notes import get_logger

if TYPE_CHECKING:
    from av.packet import Packet

    from .frames import SourceInfo
    from .job import Job
    from .options import SourceOptions
    from .record import Record, RecordFolder
    from .sinks import Sink
    from .sinks.segments import Segment
    from .sinks.video import VideoSink
    from .sources import Source
    from .sources.files.file import FileSource

logger = get_logger(__name__)


def segment_name(number: int) -> str:
    """Return the name of the file of an encoded chunk."""
    return f"segment-{number:04d}.bin"


def store_video(
    folder: RecordFolder, plan: tuple[FrameRange, ...], done: Record | None, source: Source, sink: Sink, job: Job
) -> StoredVideo | None:
    """Store encoded chunks; use those of the run it continues.

    Args:
        folder: of the record.
        plan: of the source.
        done: the whole chunks of the run to continue; None to begin.
        source: open, none of its frames read.
        sink: open; its chunks are encoded as segments.
        job: of the run.

    Returns:
        None for an output or a source that has no segments.
    """
    from .sinks.video import VideoSink
    from .sources.files.file import FileSource

    if not (isinstance(sink, VideoSink) and isinstance(source, FileSource)):
        return None
    is_same = done is not None and is_same_format(done, job)
    return StoredVideo(folder, plan, done if is_same else None, source, sink, job.source)


def segment_check(sink: VideoSink) -> Callable[[Segment], bool]:
    """Return a function: True if a stored segment was encoded with the settings of an output.

    Args:
        sink: the output; its chunks are encoded as segments.
    """
    formats: dict[tuple[int, int], Segment] = {}

    def takes(segment: Segment) -> bool:
        size = segment.frame_size
        if size not in formats:
            formats[size] = sink.segment_format(size)
        return segment.fits(formats[size])

    return takes


class StoredVideo:
    """The encoded chunks of a run; arguments as for `store_video`.

    Attributes:
        num_stored: chunks of the run that it continues, from the first one on.
        peaks: running scale at their end.
        source: of the frames after them.
    """

    def __init__(
        self,
        folder: RecordFolder,
        plan: tuple[FrameRange, ...],
        done: Record | None,
        source: FileSource,
        sink: VideoSink,
        options: SourceOptions,
    ) -> None:
        self._folder, self._plan, self._done, self._sink = folder, plan, done, sink
        self._numbers = {one.first_index: one.number for one in plan}
        self._chunk_peaks: dict[int, list[float]] = {}
        self.num_stored, self.peaks = 0, tuple[float, ...]()
        sink.store_chunks(self._store)
        takes = segment_check(sink)
        while done is not None and self.num_stored < len(done.chunks):
            found = self._read(self.num_stored)
            if found is None or not takes(found[0]):
                break
            self.num_stored, self.peaks = self.num_stored + 1, tuple(found[1]["peaks"])
        self.source = cast("Source", source)
        if self.num_stored:
            rest = remaining_range(plan, self.num_stored) if self.num_stored < len(plan) else None
            self._continued = ContinuedSource(source, options, rest)
            self.source = self._continued
        self._next_number = self._current = self.num_stored
        self._is_enabled = True

    @property
    def names(self) -> list[str]:
        """Names of the files to keep."""
        return [segment_name(number) for number in range(self.num_stored)]

    def watch(self, items: Iterable[ExplainedFrame]) -> Iterator[ExplainedFrame]:
        """Note the scale at the end of each chunk."""
        for item in items:
            if item.frame.starts_chunk:
                self._current = self._numbers[item.frame.index]
            self._chunk_peaks[self._current] = [one.vmax for one in item.attributions]
            yield item

    def write(self) -> Iterator[ExplainedFrame]:
        """Write the stored chunks; yield their frames, without images."""
        for number in range(self.num_stored):
            found = self._read(number)
            if found is None or self._done is None:
                raise StreamcamError(f"{self._folder.path / segment_name(number)} was removed or damaged meanwhile")
            frames = self._done.chunks[number].frames()
            copied = [self._continued.copied.until(one.pts) for one in frames]
            self._sink.write_chunk(found[0], [one.pts for one in frames], copied)
            for one in frames:
                image: Any = None
                yield one.explained(Frame(one.index, one.pts, image), range(len(self._done.targets)))

    def remove(self) -> None:
        """Remove all stored chunks: the output is complete."""
        for chunk in self._plan:
            self._folder.remove(segment_name(chunk.number))

    def _store(self, segment: Segment) -> None:
        """Store a chunk, called in order; a full disk ends the storing, not the run."""
        from .sinks.segment_file import pack_segment

        number = self._next_number
        self._next_number += 1
        # Cut short, or not the planned frames: the chunks after it do not continue those before it.
        self._is_enabled &= number < len(self._plan) and segment.num_frames == self._plan[number].num_frames
        if not self._is_enabled:
            return
        try:
            self._folder.write(segment_name(number), pack_segment(segment, {"peaks": self._chunk_peaks.pop(number)}))
        except OSError as error:
            self._is_enabled = False
            logger.warning("%s: encoded video is not stored: %s", self._folder.path, error.strerror)

    def _read(self, number: int) -> tuple[Segment, dict[str, Any]] | None:
        """Return a stored chunk; None if it is not there, or damaged."""
        from .sinks.segment_file import unpack_segment

        try:
            found = unpack_segment((self._folder.path / segment_name(number)).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found[0].num_frames == self._plan[number].num_frames else None


class CopiedPackets:
    """Packets of copied streams, handed out in time with the frames.

    Args:
        packets: in the order of the file.
        time_base: of the frames.
    """

    def __init__(self, packets: Iterable[Packet[Any]], time_base: Fraction) -> None:
        self._packets, self._time_base = iter(packets), time_base
        self._next: Packet[Any] | None = next(self._packets, None)

    def until(self, pts: int) -> tuple[Packet[Any], ...]:
        """Return the packets up to the time of a frame."""
        ready = []
        while self._next is not None and self._seconds(self._next) <= pts * self._time_base:
            ready.append(self._next)
            self._next = next(self._packets, None)
        return tuple(ready)

    def rest(self) -> tuple[Packet[Any], ...]:
        """Return all further packets."""
        first = () if self._next is None else (self._next,)
        return (*first, *self._packets)

    def _seconds(self, packet: Packet[Any]) -> Fraction:
        time = packet.dts if packet.dts is not None else packet.pts
        return (time or 0) * Fraction(packet.time_base or 0)


class ContinuedSource:
    """The frames of a source from a chunk on; see `streamcam.sources.Source`.

    Their packets are those of copied streams of the whole source.

    Args:
        whole: the source, open, none of its frames read.
        options: of the source.
        first: the frames from the chunk on; None if there are none.

    Attributes:
        copied: packets of copied streams, to hand out before the first frame too.
    """

    def __init__(self, whole: FileSource, options: SourceOptions, first: FrameRange | None) -> None:
        self._whole, self._options, self._range = whole, options, first
        self.info: SourceInfo = whole.info
        self.notes, self.decoder, self.skipped = whole.notes, whole.decoder, 0
        self.trailing_packets: tuple[Packet[Any], ...] = ()
        self.copied = CopiedPackets(whole.copied_packets(), whole.info.time_base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the whole source open; its owner closes it."""

    def __iter__(self) -> Iterator[Frame]:
        """See `streamcam.sources.Source`."""
        if self._range is not None:
            with open_chunk(self._options, self._range, self.info, keep_on_gpu=self.info.on_gpu) as source:
                for frame in source:
                    yield replace(frame, passthrough_packets=self.copied.until(frame.pts))
                self.skipped = source.skipped
        self.trailing_packets = self.copied.rest()
