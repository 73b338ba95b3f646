"""Video files and still images, from disk or over http(s), through FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame

from ...errors import SourceError, redact_url
from ...frames import Frame, FrameRange
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
    other_frames_error,
    read_error,
    skipped_notes,
)
from .packet_reader import PacketReader
from .timing import GENERATE_PTS, file_timeline, is_single_image
from .window import WindowReader


class FileSource:
    """Frames of one video or image; see `streamcam.sources.Source`.

    Skips and counts packets that cannot be decoded, and damaged stretches of the container.
    """

    def __init__(
        self, options: SourceOptions, *, keep_on_gpu: bool = False, frame_range: FrameRange | None = None
    ) -> None:
        """Open the file and decode the first frame; arguments as in `streamcam.sources.open_source`.

        Raises:
            SourceError: see `streamcam.sources.open_source`.
        """
        self._options, self._keep_on_gpu, self._range = options, keep_on_gpu, frame_range
        self._path = options.url.removeprefix("file://")
        self._name = redact_url(self._path)
        self.notes: list[str] = []
        self.trailing_packets: tuple[Packet[Any], ...] = ()
        self._num_frames = 0
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
        container.flags |= GENERATE_PTS
        self._is_image = is_single_image(container)
        # The copied packets belong to the whole window, not to a chunk of it.
        copied = ("audio", "subtitle") if self._range is None else ()
        self._passthrough_streams = tuple(s for s in container.streams if s.type in copied)
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
        clock = file_timeline(container, video, self._options)
        self._timeline = clock.timeline
        is_later_chunk = self._range is not None and self._range.first_index > 0
        self._window = WindowReader(
            container,
            video,
            self._reader,
            clock if self._range is None else clock.narrow(self._range),
            has_start=bool(self._options.start) or is_later_chunk,
            is_chunk=is_later_chunk,
        )
        first, rest = self._window.find_first_frame()
        if self._window.lacks_index:
            self.notes.append(f"{self._name} has no index to seek in: read from its beginning")
        if first is None:
            if self._range is not None:
                raise other_frames_error(self._name, self._range)
            refused_size = self._reader.refused_size if self._reader.refused else declared_size
            check_frame_size(self._name, refused_size, self._options.max_pixels, refused=self._reader.refused > 0)
            raise no_frame_error(self._name, container, self._options, self.skipped)
        self._frames = _prepend(first, rest)
        mirrored = self._is_image and is_mirrored(self._path)
        self._normalizer = FrameNormalizer(
            first, clock.timeline.time_base, keep_on_gpu=self._keep_on_gpu, mirrored=mirrored
        )
        if self._is_image and is_truncated(self._path):
            self.notes.append(f"{self._name} was cut short: the end of its image is missing")
        self.info = file_info(
            container,
            video,
            self._normalizer,
            self._options,
            time_base=clock.timeline.time_base,
            origin_seconds=clock.origin_seconds,
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
        first_index = 0 if self._range is None else self._range.first_index
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
            if self._range is not None and not self._num_frames and pts != self._range.first_pts:
                raise other_frames_error(self._name, self._range)
            packets = self._window.passthrough.pop_ready()
            yield Frame(first_index + self._num_frames, pts, upright, passthrough_packets=packets, rgb_frame=rgb)
            self._num_frames += 1
            del frame, upright, rgb  # the next one may need their memory
        self.trailing_packets = self._window.passthrough.pop_ready(flush=True)
        if self._range is not None and not self._reader.closed and self._num_frames != self._range.num_frames:
            raise other_frames_error(self._name, self._range)
        self._add_notes()

    def copied_packets(self) -> Iterator[Packet[Any]]:
        """Yield the packets of copied streams, instead of the frames; nothing is decoded."""
        return self._window.copied_packets()

    def _add_notes(self) -> None:
        """Add notes, once the input was read."""
        self.notes += irregularity_notes(self._name, self._timeline, self._window.num_untimed, self._normalizer)
        num_dropped = self._window.passthrough.num_dropped
        self.notes += skipped_notes(self._name, self._reader, self._options.max_pixels, num_dropped)
        if self._reader.closed or self._options.end is not None or self.info.is_image or self._range is not None:
            return
        declared_frames = 0 if self._options.start else self._declared_frames
        reached = self._window.reached_seconds - self._start_seconds
        self.notes += early_end_notes(self._name, self._duration_seconds, reached, self._num_frames, declared_frames)

    def _translate_error(self, error: Exception) -> SourceError:
        return read_error(self._name, error, self._options, self._num_frames)


def _prepend(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield the first frame, then the rest; `itertools.chain` would keep the first until the end."""
    yield first
    del first
    yield from rest
