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

from ...errors import SourceError, redact_url
from ...frames import Chapter, Frame, SourceInfo
from ...options import SourceOptions
from ..container import choose_video, nvdec_unavailable_reason, open_container
from ..image_headers import is_mirrored, is_truncated
from ..normalize import FrameNormalizer
from .passthrough import PassthroughQueue
from .timeline import FORWARD_JUMP_SECONDS, Timeline

_GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS of a container
_NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_TS_DISCONTINUOUS = 512  # AVFMT_TS_DISCONT of a format
_DEFAULT_FPS = Fraction(25)
_MAX_FPS = 1000
_SEEK_BACK_SECONDS = (0, 2, 10)
"""Seconds before the start at which a keyframe is looked for, one after the other."""
_MAX_CONSECUTIVE_ERRORS = 100
_MIN_SHOWN_SECONDS = Fraction(1)
"""A picture that was there before the start is a part of the window when it is shown for longer than this in it."""
_READ_PAST_END_SECONDS = Fraction(2)
"""Seconds beyond the end that are still read for packets interleaved late."""


class FileSource:
    """Frames of one video or image; see `streamcam.sources.Source`.

    Packets that cannot be decoded are skipped and counted; so are damaged stretches of the container.
    """

    def __init__(self, options: SourceOptions, *, keep_on_gpu: bool = False) -> None:
        """Opens and decodes the first frame; ``keep_on_gpu`` as in `streamcam.sources.open_source`.

        Raises:
            SourceError: see `streamcam.sources.open_source`.
        """
        self._options, self._keep_on_gpu = options, keep_on_gpu
        self._name = redact_url(options.url.removeprefix("file://"))
        self._lock = threading.Lock()
        self._closed = False
        self.skipped = 0
        self.notes: list[str] = []
        self.trailing_packets: tuple[Packet[Any], ...] = ()
        self._reached_seconds = Fraction(0)
        self._num_frames = 0
        self._earliest_seconds: Fraction | None = None
        self._last_raw_pts: int | None = None
        self._num_untimed = 0
        self._path = options.url.removeprefix("file://")
        self._container = open_container(
            options.url, options.timeout_seconds, use_nvdec=self._use_nvdec(), keep_on_gpu=keep_on_gpu
        )
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
        self._is_image = container.format.name.endswith("_pipe") or container.format.name == "image2"
        self._passthrough_streams = tuple(s for s in container.streams if s.type in ("audio", "subtitle"))
        for stream in container.streams:
            if stream is not video and stream not in self._passthrough_streams:
                stream.discard = Discard.all
        others = sum(not s.disposition & Disposition.attached_pic for s in container.streams.video) - 1
        if others > 0:
            self.notes.append(f"{self._name}: {others} further video stream{'s' * (others > 1)} ignored")

        # Broadcast and other streamed formats start at any time of day; files start at zero, and what they put
        # later is meant.
        start = container.start_time or 0
        # Kept, as the container may be closed by the time that the iteration ends.
        self._start_seconds = Fraction(start, 1_000_000)
        self._duration_seconds = None if container.duration is None else Fraction(container.duration, 1_000_000)
        self._declared_frames = video.frames
        is_streamed = int(container.format.flags) & _TS_DISCONTINUOUS
        origin_seconds = Fraction(start, 1_000_000) if is_streamed else Fraction(0)
        time_base = video.time_base or Fraction(1, 90_000)
        fps = video.average_rate or video.guessed_rate
        fps = Fraction(fps) if fps and 0 < fps <= _MAX_FPS else None
        step_ticks = max(1, round(1 / ((fps or _DEFAULT_FPS) * time_base)))
        self._begin_seconds = origin_seconds + (self._options.start or 0)
        self._end_seconds = None if self._options.end is None else origin_seconds + self._options.end
        max_gap_seconds = FORWARD_JUMP_SECONDS if is_streamed else None
        self._timeline = Timeline(time_base, step_ticks, self._begin_seconds, max_gap_seconds)
        self._passthrough = PassthroughQueue(self._timeline)
        first, rest = self._find_first_frame()
        if first is None:
            raise self._no_frame_error()
        self._frames = chain([first], rest)
        self._normalizer = FrameNormalizer(
            first, time_base, keep_on_gpu=self._keep_on_gpu, mirrored=self._is_image and is_mirrored(self._path)
        )
        if self._is_image and is_truncated(self._path):
            self.notes.append(f"{self._name} was cut short: the end of its picture is missing")
        self.info = self._build_info(fps, time_base)

    def _use_nvdec(self) -> bool:
        """Whether a graphics card is to decode; says so where it cannot."""
        if self._options.decoder == "cpu":
            return False
        reason = nvdec_unavailable_reason()
        if reason:
            self.notes.append(f"--decoder nvdec: the processor decodes ({reason})")
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
        if self._lock.acquire(timeout=self._options.timeout_seconds + 1):
            try:
                self._container.close()
            finally:
                self._lock.release()

    def __iter__(self) -> Iterator[Frame]:
        """See `streamcam.sources.Source`."""
        for frame in self._frames:
            assert frame.pts is not None
            pts = self._timeline.assign_pts(frame.pts)
            yield Frame(
                self._num_frames, pts, self._normalizer(frame), passthrough_packets=self._passthrough.pop_ready()
            )
            self._num_frames += 1
        self.trailing_packets = self._passthrough.pop_ready(flush=True)
        self._add_notes()

    def _decode_window(self) -> Iterator[VideoFrame]:
        """Decoded frames of the window, in order of presentation; copied packets are put aside on the way.

        Where the first of them comes late, the picture that is shown at the window's beginning comes before it.
        """
        finished = False
        shown_frame: VideoFrame | None = None
        for packet in self._packets():
            if packet.stream is not self._video:
                if packet.size:
                    self._queue_passthrough(packet)
            elif not finished:
                for frame in self._decode(packet):
                    frame_seconds = self._set_raw_pts(frame) * self._timeline.time_base
                    self._earliest_seconds = frame_seconds if self._earliest_seconds is None else self._earliest_seconds
                    if self._options.start and frame_seconds < self._begin_seconds:
                        shown_frame = frame
                        continue
                    if shown_frame is not None and frame_seconds - self._begin_seconds > _MIN_SHOWN_SECONDS:
                        yield self._clip_to_begin(shown_frame, until_seconds=frame_seconds)
                    shown_frame = None
                    if self._end_seconds is not None and frame_seconds >= self._end_seconds:
                        finished = True
                        break
                    yield frame
            if finished and self._is_past_end(packet):
                return

    def _clip_to_begin(self, frame: VideoFrame, until_seconds: Fraction) -> VideoFrame:
        """A picture as though it came when the window begins."""
        time_base = self._timeline.time_base
        frame.pts = ceil(self._begin_seconds / time_base)
        until_seconds = until_seconds if self._end_seconds is None else min(until_seconds, self._end_seconds)
        frame.duration = max(1, int(until_seconds / time_base) - frame.pts)
        return frame

    def _set_raw_pts(self, frame: VideoFrame) -> int:
        """The picture's pts; where the file has none it is given one at the stream's rate."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self._last_raw_pts is None else self._last_raw_pts + self._timeline.step_ticks
            self._num_untimed += 1
        frame.pts = self._last_raw_pts = pts
        return pts

    def _packets(self) -> Iterator[Packet[Any]]:
        """Everything the container holds; ends with an empty packet for each stream."""
        streams = [self._video, *self._passthrough_streams]
        packets = self._container.demux(streams)
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
                    packets = self._container.demux(streams)
                    if errors >= _MAX_CONSECUTIVE_ERRORS:
                        return
                    continue
                except (av.error.FFmpegError, OSError) as error:
                    raise self._read_error(error) from None
            if packet is None:
                return
            yield packet

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        self._update_reached(packet)
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

    def _queue_passthrough(self, packet: Packet[Any]) -> None:
        """Keeps a packet of a copied stream that lies in the window, on the output's time."""
        self._update_reached(packet)
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None or packet.time_base is None:
            return
        time_base = Fraction(packet.time_base)
        packet_seconds = (packet.dts if packet.pts is None else packet.pts) * time_base
        if (self._options.start and packet_seconds < self._begin_seconds) or (
            self._end_seconds is not None and packet_seconds >= self._end_seconds
        ):
            return
        self._passthrough.add(packet, packet.dts * time_base)

    def _is_past_end(self, packet: Packet[Any]) -> bool:
        assert self._end_seconds is not None
        if packet.dts is None or packet.time_base is None:
            return False
        return packet.dts * Fraction(packet.time_base) >= self._end_seconds + (
            _READ_PAST_END_SECONDS if self._passthrough_streams else 0
        )

    def _update_reached(self, packet: Packet[Any]) -> None:
        times = [time for time in (packet.pts, packet.dts) if time is not None]
        if times and packet.time_base is not None:
            ticks = max(times) + (packet.duration or 0)
            self._reached_seconds = max(self._reached_seconds, ticks * Fraction(packet.time_base))

    def _find_first_frame(self) -> tuple[VideoFrame | None, Iterator[VideoFrame]]:
        """The first picture of the window, and those after it."""
        has_timestamps = not int(self._container.format.flags) & _NO_TIMESTAMPS
        if self._options.start and has_timestamps and self._video.codec_context.name == "h264":
            # Which version of x264 wrote a stream stands before its first frame only, and the decoder must know it:
            # some wrote 4:4:4 in a way of their own. Without it all of the picture is wrong.
            with contextlib.suppress(av.error.FFmpegError, StopIteration):
                next(self._container.decode(self._video))
        for seek_back_seconds in _SEEK_BACK_SECONDS if self._options.start and has_timestamps else ():
            # Some formats are searched by time alone: what follows cannot be decoded until the next keyframe.
            if not self._seek(max(self._begin_seconds - seek_back_seconds, Fraction(0))):
                break
            frames = self._decode_window()
            first = next(frames, None)
            if self._earliest_seconds is not None and self._earliest_seconds <= self._begin_seconds:
                return first, frames
        if self._options.start and has_timestamps and not self._seek(self._start_seconds):
            self.notes.append(f"{self._name} has no index to seek in: read from its beginning")
        frames = self._decode_window()
        return next(frames, None), frames

    def _seek(self, seconds: Fraction) -> bool:
        """Goes to the keyframe before ``seconds`` and forgets what was read; False if that is not possible."""
        self._passthrough.reset()
        self._earliest_seconds, self.skipped, self._num_untimed, self._last_raw_pts = None, 0, 0, None
        try:
            self._container.seek(int(seconds / self._timeline.time_base), stream=self._video)
        except av.error.FFmpegError:
            return False
        return True

    def _build_info(self, fps: Fraction | None, time_base: Fraction) -> SourceInfo:
        normalizer, container = self._normalizer, self._container
        pixel_aspect = Fraction(self._video.sample_aspect_ratio or 1) or Fraction(1)
        if normalizer.width != self._video.width and normalizer.width == self._video.height:
            pixel_aspect = 1 / pixel_aspect
        is_image = self._is_image
        duration_seconds = None if container.duration is None or is_image else container.duration / 1_000_000
        if duration_seconds is not None:
            duration_seconds = min(duration_seconds, float(self._options.end or duration_seconds)) - float(
                self._options.start or 0
            )
        is_whole = self._options.start is None and self._options.end is None
        num_frames = self._video.frames if is_whole and self._video.frames else None
        if num_frames is None and duration_seconds is not None and fps is not None:
            num_frames = max(1, round(duration_seconds * fps))
        return SourceInfo(
            name=self._name,
            width=normalizer.width,
            height=normalizer.height,
            pixel_format=normalizer.pixel_format,
            time_base=time_base,
            color=normalizer.color,
            pixel_aspect=pixel_aspect,
            average_fps=None if is_image else fps,
            num_frames=1 if is_image else num_frames,
            duration_seconds=duration_seconds,
            is_image=is_image,
            on_gpu=normalizer.on_gpu,
            passthrough_streams=self._passthrough_streams,
            metadata=dict(container.metadata),
            chapters=self._chapters(),
        )

    def _chapters(self) -> tuple[Chapter, ...]:
        found = []
        for raw_chapter in self._container.chapters():
            begin, end = (raw_chapter[edge] * Fraction(raw_chapter["time_base"] or 1) for edge in ("start", "end"))
            begin, end = (
                max(begin, self._begin_seconds),
                end if self._end_seconds is None else min(end, self._end_seconds),
            )
            if begin < end:
                found.append(
                    Chapter(begin - self._begin_seconds, end - self._begin_seconds, dict(raw_chapter["metadata"]))
                )
        return tuple(found)

    def _add_notes(self) -> None:
        """Announces what was odd about the input, once all of it was read."""
        if self._timeline.num_corrected:
            count = self._timeline.num_corrected
            self.notes.append(f"{self._name}: {count} timestamp{'s' * (count > 1)} did not increase, moved")
        if self._timeline.num_jumps:
            count = self._timeline.num_jumps
            self.notes.append(
                f"{self._name}: its clock leaps ahead {count} time{'s' * (count > 1)}, taken for a new start"
            )
        if self._num_untimed:
            fps = float(1 / (self._timeline.step_ticks * self._timeline.time_base))
            self.notes.append(f"{self._name}: {self._num_untimed} frames without a timestamp, {fps:g} a second assumed")
        if self._normalizer.num_resized:
            size = f"{self.info.width}x{self.info.height}"
            self.notes.append(
                f"{self._name}: {self._normalizer.num_resized} frames of another size were scaled to {size}"
            )
        if self._closed or self._end_seconds is not None or self.info.is_image or self._duration_seconds is None:
            return
        reached_seconds = self._reached_seconds - self._start_seconds
        if self._duration_seconds - reached_seconds > max(Fraction(1, 2), self._duration_seconds / 50):
            self.notes.append(
                f"{self._name} ends early: {self._num_frames} of {self._declared_frames} frames"
                if self._declared_frames and not self._options.start
                else f"{self._name} ends early: {float(reached_seconds):.1f} of {float(self._duration_seconds):.1f} s"
            )

    def _no_frame_error(self) -> SourceError:
        if self._options.start and not self.skipped:
            end, duration_seconds = self._options.end, (self._container.duration or 0) / 1_000_000
            until = "on" if end is None else f"to --end {float(end):g}"
            within = end is not None and float(end) <= duration_seconds
            return SourceError(
                f"{self._name} has no frame from --start {float(self._options.start):g} {until}",
                hint="none begins in so short a time" if within else f"it is {duration_seconds:.1f} s long",
            )
        if self._options.end and not self.skipped:
            return SourceError(f"{self._name} has no frame before --end {float(self._options.end):g}")
        return SourceError(
            f"none of the frames of {self._name} can be decoded: it is damaged or was cut short",
            hint="copy or record it again",
        )

    def _read_error(self, error: Exception) -> SourceError:
        if isinstance(error, (av.error.ExitError, TimeoutError)):
            reason = f"stayed silent for {self._options.timeout_seconds:g} s"
        else:
            reason = f"could not be read further: {getattr(error, 'strerror', None) or error}"
        return SourceError(f"{self._name} {reason}, after {self._num_frames} frames")
