"""Video files and still images, from disk or over http(s), through FFmpeg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av.error
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame

from ...errors import SourceError, redact_url
from ...frames import Frame
from ...options import SourceOptions
from ..container import choose_video, nvdec_unavailable_reason, open_container
from ..frame_limits import check_frame_size, limit_decoder, limit_threads
from ..image_headers import is_mirrored, is_truncated
from ..normalize import FrameNormalizer
from .describe import (
    early_end_notes,
    file_info,
    ignored_stream_notes,
    irregularity_notes,
    no_frame_error,
    nominal_fps,
    read_error,
    skipped_notes,
)
from .packet_reader import PacketReader
from .passthrough import PassthroughQueue
from .timeline import FORWARD_JUMP_SECONDS, MAX_GAP_SECONDS, Timeline

_GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS of a container
_NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_TS_DISCONTINUOUS = 512  # AVFMT_TS_DISCONT of a format
_DEFAULT_FPS = Fraction(25)
_SEEK_BACK_SECONDS = (0, 2, 10)
"""Seconds before the start at which to seek a keyframe, tried in this order."""
_MIN_SHOWN_SECONDS = Fraction(1)
"""A frame from before the start belongs to the window if it is shown for longer than this in it."""
_READ_PAST_END_SECONDS = Fraction(2)
"""Seconds to read beyond the end for packets interleaved late."""


class FileSource:
    """Frames of one video or image; see `streamcam.sources.Source`.

    Skips and counts packets that cannot be decoded, and damaged stretches of the container.
    """

    def __init__(self, options: SourceOptions, *, keep_on_gpu: bool = False) -> None:
        """Open the file and decode the first frame; ``keep_on_gpu`` as in `streamcam.sources.open_source`.

        Raises:
            SourceError: see `streamcam.sources.open_source`.
        """
        self._options, self._keep_on_gpu = options, keep_on_gpu
        self._path = options.url.removeprefix("file://")
        self._name = redact_url(self._path)
        self.notes: list[str] = []
        self.trailing_packets: tuple[Packet[Any], ...] = ()
        self._reached_seconds = Fraction(0)
        self._num_frames = self._num_untimed = 0
        self._earliest_seconds: Fraction | None = None
        self._last_raw_pts: int | None = None
        self._container = open_container(options, use_nvdec=self._use_nvdec(), keep_on_gpu=keep_on_gpu)
        try:
            self._video = choose_video(self._container, self._name)
            self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        video, container = self._video, self._container
        declared_size = limit_decoder(video.codec_context, self._options.max_pixels)
        limit_threads(video.codec_context)
        container.flags |= _GENERATE_PTS
        self._is_image = container.format.name.endswith("_pipe") or container.format.name == "image2"
        self._passthrough_streams = tuple(s for s in container.streams if s.type in ("audio", "subtitle"))
        for stream in container.streams:
            if stream is not video and stream not in self._passthrough_streams:
                stream.discard = Discard.all
        self._reader = PacketReader(
            container, video, self._passthrough_streams, self._translate_error, self._options.max_pixels
        )
        self.notes += ignored_stream_notes(self._name, container)
        # Copied, as the container may be closed when the iteration ends.
        self._start_seconds = Fraction(container.start_time or 0, 1_000_000)
        self._duration_seconds = None if container.duration is None else Fraction(container.duration, 1_000_000)
        self._declared_frames = video.frames
        # Streamed formats start at any time of day; files start at zero, and a later first frame is intended.
        is_streamed = int(container.format.flags) & _TS_DISCONTINUOUS
        origin_seconds = self._start_seconds if is_streamed else Fraction(0)
        time_base = video.time_base or Fraction(1, 90_000)
        fps = nominal_fps(video)
        step_ticks = max(1, round(1 / ((fps or _DEFAULT_FPS) * time_base)))
        start, end = self._options.window
        self._begin_seconds = origin_seconds + start
        self._end_seconds = None if end is None else origin_seconds + end
        self._timeline = Timeline(
            time_base, step_ticks, self._begin_seconds, FORWARD_JUMP_SECONDS if is_streamed else MAX_GAP_SECONDS
        )
        self._passthrough = PassthroughQueue(self._timeline)
        first, rest = self._find_first_frame()
        if first is None:
            refused_size = self._reader.refused_size if self._reader.refused else declared_size
            check_frame_size(self._name, refused_size, self._options.max_pixels, refused=self._reader.refused > 0)
            raise no_frame_error(self._name, container, self._options, self.skipped)
        self._frames = _prepend(first, rest)
        self._normalizer = FrameNormalizer(
            first, time_base, keep_on_gpu=self._keep_on_gpu, mirrored=self._is_image and is_mirrored(self._path)
        )
        if self._is_image and is_truncated(self._path):
            self.notes.append(f"{self._name} was cut short: the end of its image is missing")
        self.info = file_info(
            container,
            video,
            self._normalizer,
            self._options,
            time_base=time_base,
            origin_seconds=origin_seconds,
            is_image=self._is_image,
            passthrough_streams=self._passthrough_streams,
        )

    def _use_nvdec(self) -> bool:
        """Return True if the GPU decodes; note if it cannot."""
        if self._options.decoder == "cpu":
            return False
        reason = nvdec_unavailable_reason()
        if reason:
            self.notes.append(f"--decoder nvdec: frames are decoded on the CPU ({reason})")
        return not reason

    @property
    def skipped(self) -> int:
        """See `streamcam.sources.Source`."""
        return self._reader.skipped

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
        """Close the file after a read in progress, or after the timeout."""
        self._reader.close(self._options.timeout_seconds + 1)
        self._frames = iter(())  # it refers to this object, and would keep frames until a garbage collection

    def __iter__(self) -> Iterator[Frame]:
        """See `streamcam.sources.Source`."""
        for frame in self._frames:
            assert frame.pts is not None
            try:
                upright = self._normalizer(frame)
                rgb = self._normalizer.to_rgb(frame) if self._is_image else None
            except SourceError:
                if not self._num_frames:
                    raise
                self._reader.skipped += 1
                continue
            pts = self._timeline.assign_pts(frame.pts)
            packets = self._passthrough.pop_ready()
            yield Frame(self._num_frames, pts, upright, passthrough_packets=packets, rgb_frame=rgb)
            self._num_frames += 1
            del frame, upright, rgb  # the next one may need their memory
        self.trailing_packets = self._passthrough.pop_ready(flush=True)
        self._add_notes()

    def _decode_window(self) -> Iterator[VideoFrame]:
        """Yield the window's frames as presented; queue copied packets on the way.

        If the first of them comes late, the frame on screen at the window's beginning comes before it.
        """
        finished = False
        shown_frame: VideoFrame | None = None
        for packet in self._reader.packets():
            if packet.stream is not self._video:
                if packet.size:
                    self._queue_passthrough(packet)
            elif not finished:
                self._update_reached(packet)
                for frame in self._reader.decode(packet):
                    frame_seconds = self._set_raw_pts(frame) * self._timeline.time_base
                    self._earliest_seconds = frame_seconds if self._earliest_seconds is None else self._earliest_seconds
                    if self._options.start and frame_seconds < self._begin_seconds:
                        shown_frame = frame
                        continue
                    if shown_frame is not None and frame_seconds - self._begin_seconds > _MIN_SHOWN_SECONDS:
                        until = frame_seconds if self._end_seconds is None else min(frame_seconds, self._end_seconds)
                        shown_frame.pts, shown_frame.duration = self._timeline.span_ticks(self._begin_seconds, until)
                        yield shown_frame
                    shown_frame = None
                    if self._end_seconds is not None and frame_seconds >= self._end_seconds:
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
            self._num_untimed += 1
        frame.pts = self._last_raw_pts = pts
        return pts

    def _queue_passthrough(self, packet: Packet[Any]) -> None:
        """Queue a packet of a copied stream that lies in the window."""
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
        times = [time + (packet.duration or 0) for time in (packet.pts, packet.dts) if time is not None]
        if times and packet.time_base is not None:
            self._reached_seconds = max(self._reached_seconds, max(times) * Fraction(packet.time_base))

    def _find_first_frame(self) -> tuple[VideoFrame | None, Iterator[VideoFrame]]:
        """Return the window's first frame, and an iterator over the rest."""
        has_timestamps = not int(self._container.format.flags) & _NO_TIMESTAMPS
        if self._options.start and has_timestamps and self._video.codec_context.name == "h264":
            # The decoder must know the version of x264, which is stored before the first frame only: some versions
            # wrote 4:4:4 differently, and decode to a wrong image without it.
            with contextlib.suppress(av.error.FFmpegError, StopIteration, IndexError):
                next(self._container.decode(self._video))
        for seek_back_seconds in _SEEK_BACK_SECONDS if self._options.start and has_timestamps else ():
            # Some formats seek by time alone: frames cannot be decoded until the next keyframe.
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
        """Seek to the keyframe before ``seconds``; return False if impossible."""
        self._passthrough.reset()
        self._earliest_seconds, self._num_untimed, self._last_raw_pts = None, 0, None
        self._reader.restart()
        try:
            self._container.seek(int(seconds / self._timeline.time_base), stream=self._video)
        except (av.error.FFmpegError, OverflowError):  # a time beyond 64 bits
            return False
        return True

    def _add_notes(self) -> None:
        """Add notes, once the input was read."""
        self.notes += irregularity_notes(self._name, self._timeline, self._num_untimed, self._normalizer)
        self.notes += skipped_notes(self._name, self._reader, self._options.max_pixels, self._passthrough.num_dropped)
        if self._reader.closed or self._end_seconds is not None or self.info.is_image:
            return
        declared_frames = 0 if self._options.start else self._declared_frames
        reached = self._reached_seconds - self._start_seconds
        self.notes += early_end_notes(self._name, self._duration_seconds, reached, self._num_frames, declared_frames)

    def _translate_error(self, error: Exception) -> SourceError:
        return read_error(self._name, error, self._options, self._num_frames)


def _prepend(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield the first frame, then the rest; `itertools.chain` would keep the first until the end."""
    yield first
    del first
    yield from rest
