"""Video files: MP4, QuickTime, Matroska, WebM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.video.frame import PictureType, VideoFrame

from ..errors import SinkError
from ..frames import SourceInfo
from ..media.cuda import CUDA_FORMAT
from ..options import SinkOptions
from .codecs import NVENC_ENCODERS, choose_encoder
from .container_sink import ContainerSink
from .encoder_count import choose_encoders
from .encoder_settings import EncoderSettings
from .encoders import SingleEncoder, VideoEncoder
from .frame_size import playable_size, without_lookahead
from .frame_times import PtsRounder, extend_last_packet
from .mp4 import faststart
from .muxing import chapter_entries, choose_pixel_format, gop_size, muxer_options
from .open_encoder import describe_segment, open_encoder
from .salvage import WRITE_ERRORS, error_reason, salvage
from .segment_encoder import SegmentEncoder
from .segments import FrameOutput, Segment
from .stream_copy import StreamCopier, clean_metadata, describe_stream, is_described_by_packets, muxable_streams

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_DEFAULT_FPS = Fraction(25)
_MAX_HEADER_WAIT_SECONDS = 10
"""Seconds for which the header waits for a stream's first packet, if the header needs data from it."""


class VideoSink(ContainerSink):
    """Encodes frames and copies other streams; see `streamcam.sinks.Sink`.

    MP4 and QuickTime files are written in fragments, so that the file of a killed process plays up to its last whole
    fragment; at the end it becomes an ordinary file with its index in front.
    """

    def __init__(self, options: SinkOptions, info: SourceInfo) -> None:
        """Check that the file can hold the source's frames and streams.

        Raises:
            SinkError, OptionError: see `streamcam.sinks.open_sink`.
        """
        super().__init__(options)
        self._info = info
        self._fragmented = self._suffix in (".mp4", ".mov")
        self._codec, self._encoder, self._encoder_options, codec_note = choose_encoder(options)
        self.encoder = self._encoder.name
        self._requested_codec = options.codec
        self._pixel_format, format_note = choose_pixel_format(self._codec, self._encoder, info)
        self.notes.extend(filter(None, (codec_note, format_note)))
        self._muxer_options = muxer_options(info, fragmented=self._fragmented)
        self._templates, rejected = muxable_streams(
            _FORMATS[self._suffix], self._muxer_options, info.passthrough_streams
        )
        self.notes.extend(f"{stream} is dropped: {self._suffix} cannot hold it" for stream in rejected)
        self._fps = info.average_fps or _DEFAULT_FPS
        self._frame_ticks = max(1, round((1 if info.is_image else 1 / self._fps) / info.time_base))
        self.num_encoders, note = choose_encoders(options.encoders, self._encoder, info, gop_size(self._fps))
        self.notes.extend([note] if note else [])
        self._on_chunk: Callable[[Segment], None] | None = None
        self._first_pts: int | None = None
        self._video_encoder: VideoEncoder | None = None
        self._copier: StreamCopier | None = None
        self._awaited_streams: set[int] = set()
        self._pending_packets: list[Packet[Any]] = []
        self._decode_delay_ticks: int | None = None
        self._pts_rounder = PtsRounder(options.path, info.time_base)
        self._end_pts = 0

    def store_chunks(self, on_chunk: Callable[[Segment], None], *, first_pts: int | None = None) -> None:
        """Encode chunks as segments, also with one encoder.

        Args:
            on_chunk: called with each encoded chunk, in order, by the writing thread; after an error the last is short.
            first_pts: of the first frame of the video, if another sink writes the frames before these.
        """
        self._on_chunk, self._first_pts = on_chunk, first_pts

    def segment_format(self, frame_size: tuple[int, int]) -> Segment:
        """Return a segment without packets, as `write_chunk` takes it."""
        self._size, _ = playable_size(self._codec, self._requested_codec, frame_size)
        return describe_segment(self._encoder_settings(), _FORMATS[self._suffix], frame_size)

    def write_chunk(
        self, segment: Segment, pts: Sequence[int], packets: Sequence[tuple[Packet[Any], ...]] | None = None
    ) -> None:
        """Write an encoded chunk instead of its frames.

        Args:
            segment: the chunk, as `store_chunks` returned it.
            pts: of its frames, as for `write`.
            packets: of copied streams, for each frame; none by default.

        Raises:
            SinkError: see `write`; or the chunk was encoded with other settings, or has other frames.
        """
        with self._writing():
            if self._output is None:
                self._open(VideoFrame(*segment.frame_size, self._info.pixel_format), pts[0])
            if not isinstance(self._video_encoder, SegmentEncoder):
                raise ValueError("its frames are not encoded in segments")
            if [self._pts_rounder(one) for one in pts] != segment.pts:
                raise ValueError("a stored segment of the video has other times than its frames")
            copied = packets or [()] * len(pts)
            self._await_packets(pts[-1], (packet for some in copied for packet in some))
            self._put(self._video_encoder.add_chunk(segment, copied))
            self._end_pts = max(packet.pts + packet.duration for packet in segment.packets)
            self.num_frames += segment.num_frames

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """See `streamcam.sinks.Sink`."""
        if self._video_encoder is None or self._output is None:
            return
        try:
            packets = tuple(packets)
            self._await_packets(None, packets)
            self._put(self._video_encoder.copy_last(packets))
        except WRITE_ERRORS as error:
            self._fail(error)

    def _open(self, frame: VideoFrame, pts: int) -> None:
        if self._encoder.needs_even_size and (frame.width % 2 or frame.height % 2):
            raise SinkError(f"{self._codec} cannot hold frames of {frame.width}x{frame.height}", expected="even sides")
        self._frame_size = self._size = frame.width, frame.height
        if frame.format.name != CUDA_FORMAT:
            self._size, notes = playable_size(self._codec, self._requested_codec, self._frame_size)
            self.notes.extend(notes)
        output = av.open(
            f"file:{self._file.reserve()}",
            "w",
            format=_FORMATS[self._suffix],
            container_options=self._muxer_options,
            metadata_errors="replace",
        )
        if frame.format.name == CUDA_FORMAT and self._encoder in NVENC_ENCODERS.values():
            self._pixel_format = CUDA_FORMAT
        output.metadata.update(clean_metadata(self._info.metadata))
        self._pts_rounder.start(pts if self._first_pts is None else self._first_pts)
        output.set_chapters(chapter_entries(self._info.chapters, self._pts_rounder.shift_seconds))
        self._start_seconds = pts * self._info.time_base
        settings = self._encoder_settings()
        self._stream = settings.add_stream(output, codec_tag=self._encoder.codec_tag if self._fragmented else None)
        try:
            self._video_encoder = self._open_encoder(settings, frame, pts)
        except WRITE_ERRORS as error:
            size = f"{self._size[0]}x{self._size[1]}"
            raise SinkError(f"{self._codec} cannot encode frames of {size}: {error_reason(error)}") from error
        self._output = output
        if self._fragmented:
            self._awaited_streams = {t.index for t in self._templates if is_described_by_packets(t)}
        if not self._awaited_streams:
            self._write_header()

    def _write_header(self) -> None:
        """Write the file's header.

        Streams whose header needs a first packet that has not come are omitted.
        """
        assert self._output is not None
        templates = [template for template in self._templates if template.index not in self._awaited_streams]
        self.notes.extend(
            f"{describe_stream(template)} is dropped: no packet in {_MAX_HEADER_WAIT_SECONDS} s, "
            f"and {self._suffix} cannot wait"
            for template in self._templates
            if template not in templates
        )
        self._copier = StreamCopier(self._output, templates, self._pts_rounder.shift_seconds)
        self._output.start_encoding()
        if self._stream.time_base:
            self._pts_rounder.set_muxer(Fraction(self._stream.time_base), fragmented=self._fragmented)
        pending, self._pending_packets = self._pending_packets, []
        for packet in pending:
            if packet.stream is self._stream:
                self._mux([packet])
            else:
                self._copier.mux([packet])

    def _await_packets(self, pts: int | None, packets: Iterable[Packet[Any]]) -> None:
        """Write the header if no first packet is awaited any more."""
        if self._copier is not None:
            return
        self._awaited_streams.difference_update(packet.stream.index for packet in packets)
        max_seconds = self._start_seconds + _MAX_HEADER_WAIT_SECONDS
        if not self._awaited_streams or (pts is not None and pts * self._info.time_base > max_seconds):
            self._write_header()

    def _encoder_settings(self) -> EncoderSettings:
        return EncoderSettings(
            encoder=self._encoder,
            options=without_lookahead(self._encoder, self._encoder_options, self._size),
            info=self._info,
            size=self._size,
            pixel_format=self._pixel_format,
            fps=self._fps,
            in_segments=self._pixel_format != CUDA_FORMAT and (self.num_encoders > 1 or self._on_chunk is not None),
        )

    def _open_encoder(self, settings: EncoderSettings, frame: VideoFrame, pts: int) -> VideoEncoder:
        if self._pixel_format == CUDA_FORMAT:
            # The encoder opens with the first frame, which determines the memory that frames are in.
            first_packets = self._stream.encode(self._prepare_frame(frame, pts))
            return SingleEncoder(self._stream, settings.make_converter(), first_packets)
        return open_encoder(self._stream, settings, self.num_encoders, self._frame_size, self._on_chunk)

    def _write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...], starts_chunk: bool) -> bool:
        assert self._video_encoder is not None
        self._await_packets(pts, packets)
        if self._pixel_format != CUDA_FORMAT or self.num_frames:
            self._prepare_frame(frame, pts)
        self._put(self._video_encoder.encode(frame, packets, starts_chunk=starts_chunk))
        return True

    def _prepare_frame(self, frame: VideoFrame, pts: int) -> VideoFrame:
        """Set the times of a frame to those in the file."""
        if (frame.width, frame.height) != self._frame_size:
            raise SinkError(
                f"frame {self.num_frames} has {frame.width}x{frame.height}",
                expected=f"{self._frame_size[0]}x{self._frame_size[1]} like earlier frames",
            )
        pts = self._pts_rounder(pts)
        frame.pts, frame.time_base = pts, self._info.time_base
        if self._info.is_image or not frame.duration:
            frame.duration = self._frame_ticks
        self._end_pts = pts + frame.duration
        frame.pict_type = PictureType.NONE
        return frame

    def _put(self, outputs: Iterable[FrameOutput]) -> None:
        """Pass on what is ready, in order."""
        for output in outputs:
            if self._copier is None:
                self._pending_packets += output.copied
            else:
                self._copier.mux(output.copied)
            self._mux(output.packets)

    def _mux(self, packets: Sequence[Packet[VideoStream]]) -> None:
        assert self._output is not None
        for packet in packets:
            if self._decode_delay_ticks is None and packet.pts is not None and packet.dts is not None:
                self._decode_delay_ticks = packet.pts - packet.dts
            if self._copier is None:
                self._pending_packets.append(packet)
                continue
            self._pts_rounder.check_reordering(packet)
            self._output.mux_one(packet)

    def _finish(self) -> None:
        """Complete the file.

        An interrupt meanwhile costs only the frames still in the encoder.
        """
        assert self._output is not None
        assert self._video_encoder is not None
        try:
            last: list[FrameOutput] = []
            for output in self._video_encoder.finish():
                if output.packets:
                    self._put(last)
                    last.clear()
                last.append(output)
            if self._fragmented:
                packets = [packet for output in last for packet in output.packets]
                extend_last_packet(packets, self._end_pts, self._decode_delay_ticks)
            self._put(last)
            if self._copier is None:
                self._write_header()
        finally:
            self._video_encoder.close()
            self._output.close()
        if self._pts_rounder.shift_seconds:
            self.notes.append("frames began before time 0: all streams are moved to begin at 0")
        self.notes += self._copier.all_notes if self._copier is not None else []
        if self._fragmented:
            try:
                faststart(self._file.path, self._file.replace)
            except (OSError, ValueError) as error:
                self.notes.append(f"{self.path} keeps its index at the end: {error_reason(error)}")

    def _abandon(self) -> None:
        if self._video_encoder is not None:
            self._video_encoder.close()
        super()._abandon()

    def _salvage(self) -> int:
        """See `ContainerSink`."""
        # Before the header, the file is empty, or still the one to overwrite.
        return salvage(self._file, fragmented=self._fragmented) if self._copier is not None else 0
