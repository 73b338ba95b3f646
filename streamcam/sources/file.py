"""Video files and still images, from disk or over http(s), through FFmpeg."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from math import ceil
from types import TracebackType
from typing import Any, Self

import av.error
from av.codec.context import ThreadType
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame

from ..config import SourceOptions
from ..errors import SourceError, masked
from ..frames import Chapter, Frame, SourceInfo
from .companions import Companions
from .opening import choose_video, open_container, why_no_card
from .stills import is_cut_short, is_mirrored
from .timeline import LEAP, Timeline
from .upright import Upright

_GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS of a container
_NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_STREAMED = 512  # AVFMT_TS_DISCONT of a format
_ASSUMED_RATE = Fraction(25)
_LARGEST_RATE = 1000
_SEEK_BACK = (0, 2, 10)
"""Seconds before the start at which a keyframe is looked for, one after the other."""
_ERRORS_IN_A_ROW = 100
_HELD = Fraction(1)
"""A picture that was there before the start is a part of the window when it is shown for longer than this in it."""
_AFTER_END = Fraction(2)
"""Seconds beyond the end that are still read for packets interleaved late."""


class FileSource:
    """Frames of one video or image; see `streamcam.sources.Source`.

    Packets that cannot be decoded are skipped and counted; so are damaged stretches of the container.
    """

    def __init__(self, options: SourceOptions, *, stay: bool = False) -> None:
        """Opens and decodes the first frame; ``stay`` as in `streamcam.sources.open_source`.

        Raises:
            SourceError: see `streamcam.sources.open_source`.
        """
        self._options, self._stay = options, stay
        self._name = masked(options.url.removeprefix("file://"))
        self._lock = threading.Lock()
        self._closed = False
        self.skipped = 0
        self.notes: list[str] = []
        self.tail: tuple[Packet[Any], ...] = ()
        self._reached = Fraction(0)
        self._delivered = 0
        self._earliest: Fraction | None = None
        self._raw: int | None = None
        self._untimed = 0
        self._path = options.url.removeprefix("file://")
        self._container = open_container(options.url, options.timeout, card=self._by_card(), stay=stay)
        try:
            self._video = choose_video(self._container, self._name)
            self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        video, container = self._video, self._container
        video.thread_type = ThreadType.AUTO
        container.flags |= _GENERATE_PTS
        self._still = container.format.name.endswith("_pipe") or container.format.name == "image2"
        self._copied = tuple(s for s in container.streams if s.type in ("audio", "subtitle"))
        for stream in container.streams:
            if stream is not video and stream not in self._copied:
                stream.discard = Discard.all
        others = sum(not s.disposition & Disposition.attached_pic for s in container.streams.video) - 1
        if others > 0:
            self.notes.append(f"{self._name}: {others} further video stream{'s' * (others > 1)} ignored")

        # Broadcast and other streamed formats start at any time of day; files start at zero, and what they put
        # later is meant.
        start = container.start_time or 0
        # Kept, as the container may be closed by the time that the iteration ends.
        self._starts = Fraction(start, 1_000_000)
        self._lasts = None if container.duration is None else Fraction(container.duration, 1_000_000)
        self._count = video.frames
        streamed = int(container.format.flags) & _STREAMED
        origin = Fraction(start, 1_000_000) if streamed else Fraction(0)
        time_base = video.time_base or Fraction(1, 90_000)
        rate = video.average_rate or video.guessed_rate
        rate = Fraction(rate) if rate and 0 < rate <= _LARGEST_RATE else None
        step = max(1, round(1 / ((rate or _ASSUMED_RATE) * time_base)))
        self._begin = origin + (self._options.start or 0)
        self._end = None if self._options.end is None else origin + self._options.end
        leap = LEAP if streamed else None
        self._timeline = Timeline(time_base, step, self._begin, leap)
        self._companions = Companions(self._timeline)
        first, rest = self._first_picture()
        if first is None:
            raise self._nothing()
        self._pictures = chain([first], rest)
        self._upright = Upright(first, time_base, stay=self._stay, mirrored=self._still and is_mirrored(self._path))
        if self._still and is_cut_short(self._path):
            self.notes.append(f"{self._name} was cut short: the end of its picture is missing")
        self.info = self._describe(rate, time_base)

    def _by_card(self) -> bool:
        """Whether a graphics card is to decode; says so where it cannot."""
        if self._options.decode == "cpu":
            return False
        reason = why_no_card()
        if reason:
            self.notes.append(f"--decode gpu: the processor decodes ({reason})")
        return not reason

    @property
    def decoder(self) -> str:
        """See `streamcam.sources.Source`."""
        context = self._video.codec_context
        return f"{context.name} (nvdec)" if context.is_hwaccel else context.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file; a read under way in another thread is waited for, at most about the timeout.

        If even that is not enough the file stays open until the process ends, as closing it under a
        read would crash.
        """
        self._closed = True
        if self._lock.acquire(timeout=self._options.timeout + 1):
            try:
                self._container.close()
            finally:
                self._lock.release()

    def __iter__(self) -> Iterator[Frame]:
        """See `streamcam.sources.Source`."""
        for picture in self._pictures:
            assert picture.pts is not None
            pts = self._timeline.place(picture.pts)
            yield Frame(self._delivered, pts, self._upright(picture), packets=self._companions.take())
            self._delivered += 1
        self.tail = self._companions.take(everything=True)
        self._conclude()

    def _decoded(self) -> Iterator[VideoFrame]:
        """Decoded frames of the window, in order of presentation; copied packets are put aside on the way.

        Where the first of them comes late, the picture that is shown at the window's beginning comes before it.
        """
        finished = False
        shown: VideoFrame | None = None
        for packet in self._packets():
            if packet.stream is not self._video:
                if packet.size:
                    self._put_aside(packet)
            elif not finished:
                for picture in self._decode(packet):
                    time = self._stamp(picture) * self._timeline.time_base
                    self._earliest = time if self._earliest is None else self._earliest
                    if self._options.start and time < self._begin:
                        shown = picture
                        continue
                    if shown is not None and time - self._begin > _HELD:
                        yield self._from_the_beginning(shown, until=time)
                    shown = None
                    if self._end is not None and time >= self._end:
                        finished = True
                        break
                    yield picture
            if finished and self._past_end(packet):
                return

    def _from_the_beginning(self, picture: VideoFrame, until: Fraction) -> VideoFrame:
        """A picture as though it came when the window begins."""
        time_base = self._timeline.time_base
        picture.pts = ceil(self._begin / time_base)
        until = until if self._end is None else min(until, self._end)
        picture.duration = max(1, int(until / time_base) - picture.pts)
        return picture

    def _stamp(self, picture: VideoFrame) -> int:
        """The picture's pts; where the file has none it is given one at the stream's rate."""
        pts = picture.pts if picture.pts is not None else picture.dts
        if pts is None:
            pts = 0 if self._raw is None else self._raw + self._timeline.step
            self._untimed += 1
        picture.pts = self._raw = pts
        return pts

    def _packets(self) -> Iterator[Packet[Any]]:
        """Everything the container holds; ends with an empty packet for each stream."""
        wanted = [self._video, *self._copied]
        packets = self._container.demux(wanted)
        errors = 0
        while True:
            with self._lock:
                if self._closed:
                    return
                try:
                    packet = next(packets, None)
                    errors = 0
                except av.error.InvalidDataError:
                    errors += 1
                    self.skipped += 1
                    packets = self._container.demux(wanted)
                    if errors >= _ERRORS_IN_A_ROW:
                        return
                    continue
                except (av.error.FFmpegError, OSError) as error:
                    raise self._lost(error) from None
            if packet is None:
                return
            yield packet

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        self._reach(packet)
        with self._lock:
            if self._closed:
                return []
            try:
                return self._video.decode(packet)
            except av.error.EOFError:
                return []
            except av.error.FFmpegError:
                self.skipped += 1
                return []

    def _put_aside(self, packet: Packet[Any]) -> None:
        """Keeps a packet of a copied stream that lies in the window, on the output's time."""
        self._reach(packet)
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None or packet.time_base is None:
            return
        time_base = Fraction(packet.time_base)
        time = (packet.dts if packet.pts is None else packet.pts) * time_base
        if (self._options.start and time < self._begin) or (self._end is not None and time >= self._end):
            return
        self._companions.add(packet, packet.dts * time_base)

    def _past_end(self, packet: Packet[Any]) -> bool:
        assert self._end is not None
        if packet.dts is None or packet.time_base is None:
            return False
        return packet.dts * Fraction(packet.time_base) >= self._end + (_AFTER_END if self._copied else 0)

    def _reach(self, packet: Packet[Any]) -> None:
        times = [time for time in (packet.pts, packet.dts) if time is not None]
        if times and packet.time_base is not None:
            ticks = max(times) + (packet.duration or 0)
            self._reached = max(self._reached, ticks * Fraction(packet.time_base))

    def _first_picture(self) -> tuple[VideoFrame | None, Iterator[VideoFrame]]:
        """The first picture of the window, and those after it."""
        timed = not int(self._container.format.flags) & _NO_TIMESTAMPS
        if self._options.start and timed and self._video.codec_context.name == "h264":
            # Which version of x264 wrote a stream stands before its first frame only, and the decoder must know it:
            # some wrote 4:4:4 in a way of their own. Without it all of the picture is wrong.
            with contextlib.suppress(av.error.FFmpegError, StopIteration):
                next(self._container.decode(self._video))
        for earlier in _SEEK_BACK if self._options.start and timed else ():
            # Some formats are searched by time alone: what follows cannot be decoded until the next keyframe.
            if not self._seek(max(self._begin - earlier, Fraction(0))):
                break
            pictures = self._decoded()
            first = next(pictures, None)
            if self._earliest is not None and self._earliest <= self._begin:
                return first, pictures
        if self._options.start and timed and not self._seek(self._starts):
            self.notes.append(f"{self._name} has no index to seek in: read from its beginning")
        pictures = self._decoded()
        return next(pictures, None), pictures

    def _seek(self, time: Fraction) -> bool:
        """Goes to the keyframe before ``time`` and forgets what was read; False if that is not possible."""
        self._companions.forget()
        self._earliest, self.skipped, self._untimed, self._raw = None, 0, 0, None
        try:
            self._container.seek(int(time / self._timeline.time_base), stream=self._video)
        except av.error.FFmpegError:
            return False
        return True

    def _describe(self, rate: Fraction | None, time_base: Fraction) -> SourceInfo:
        upright, container = self._upright, self._container
        aspect = Fraction(self._video.sample_aspect_ratio or 1) or Fraction(1)
        if upright.width != self._video.width and upright.width == self._video.height:
            aspect = 1 / aspect
        still = self._still
        seconds = None if container.duration is None or still else container.duration / 1_000_000
        if seconds is not None:
            seconds = min(seconds, float(self._options.end or seconds)) - float(self._options.start or 0)
        whole = self._options.start is None and self._options.end is None
        frames = self._video.frames if whole and self._video.frames else None
        if frames is None and seconds is not None and rate is not None:
            frames = max(1, round(seconds * rate))
        return SourceInfo(
            name=self._name,
            width=upright.width,
            height=upright.height,
            pixel_format=upright.pixel_format,
            time_base=time_base,
            colour=upright.colour,
            pixel_aspect=aspect,
            rate=None if still else rate,
            frames=1 if still else frames,
            seconds=seconds,
            still=still,
            on_card=upright.on_card,
            copied=self._copied,
            metadata=dict(container.metadata),
            chapters=self._chapters(),
        )

    def _chapters(self) -> tuple[Chapter, ...]:
        found = []
        for told in self._container.chapters():
            begin, end = (told[edge] * Fraction(told["time_base"] or 1) for edge in ("start", "end"))
            begin, end = max(begin, self._begin), end if self._end is None else min(end, self._end)
            if begin < end:
                found.append(Chapter(begin - self._begin, end - self._begin, dict(told["metadata"])))
        return tuple(found)

    def _conclude(self) -> None:
        """Announces what was odd about the input, once all of it was read."""
        if self._timeline.moved:
            count = self._timeline.moved
            self.notes.append(f"{self._name}: {count} timestamp{'s' * (count > 1)} did not increase, moved")
        if self._timeline.leaps:
            count = self._timeline.leaps
            self.notes.append(
                f"{self._name}: its clock leaps ahead {count} time{'s' * (count > 1)}, taken for a new start"
            )
        if self._untimed:
            rate = float(1 / (self._timeline.step * self._timeline.time_base))
            self.notes.append(f"{self._name}: {self._untimed} frames without a timestamp, {rate:g} a second assumed")
        if self._upright.resized:
            size = f"{self.info.width}x{self.info.height}"
            self.notes.append(f"{self._name}: {self._upright.resized} frames of another size were scaled to {size}")
        if self._closed or self._end is not None or self.info.still or self._lasts is None:
            return
        reached = self._reached - self._starts
        if self._lasts - reached > max(Fraction(1, 2), self._lasts / 50):
            self.notes.append(
                f"{self._name} ends early: {self._delivered} of {self._count} frames"
                if self._count and not self._options.start
                else f"{self._name} ends early: {float(reached):.1f} of {float(self._lasts):.1f} s"
            )

    def _nothing(self) -> SourceError:
        if self._options.start and not self.skipped:
            end, seconds = self._options.end, (self._container.duration or 0) / 1_000_000
            until = "on" if end is None else f"to --end {float(end):g}"
            within = end is not None and float(end) <= seconds
            return SourceError(
                f"{self._name} has no frame from --start {float(self._options.start):g} {until}",
                do="none begins in so short a time" if within else f"it is {seconds:.1f} s long",
            )
        if self._options.end and not self.skipped:
            return SourceError(f"{self._name} has no frame before --end {float(self._options.end):g}")
        return SourceError(
            f"none of the frames of {self._name} can be decoded: it is damaged or was cut short",
            do="copy or record it again",
        )

    def _lost(self, error: Exception) -> SourceError:
        if isinstance(error, (av.error.ExitError, TimeoutError)):
            reason = f"stayed silent for {self._options.timeout:g} s"
        else:
            reason = f"could not be read further: {getattr(error, 'strerror', None) or error}"
        return SourceError(f"{self._name} {reason}, after {self._delivered} frames")
