"""Video files: MP4, QuickTime, Matroska, WebM."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import av
import av.error
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..errors import SinkError
from ..frames import SourceInfo
from ..media.cuda import CUDA_FORMAT
from ..options import SinkOptions
from .codecs import NVENC_ENCODERS, choose_encoder, without_lookahead
from .frame_times import PtsRounder
from .mp4 import faststart, truncate_to_last_fragment
from .muxing import chapter_entries, choose_pixel_format, configure_video, muxer_options
from .stream_copy import StreamCopier, clean_metadata, describe_stream, is_described_by_packets, muxable_streams

if TYPE_CHECKING:
    from av.packet import Packet

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_DEFAULT_FPS = Fraction(25)
_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_MAX_UNTIMED_PACKETS = 2
_MAX_HEADER_WAIT_SECONDS = 10
"""Seconds for which the header waits for a stream's first packet, if the header needs data from it."""


class VideoSink:
    """Encodes frames and copies other streams; see `streamcam.sinks.Sink`.

    MP4 and QuickTime files are written in fragments, so that the file of a killed process plays up to its last whole
    fragment; at the end it becomes an ordinary file with its index in front.
    """

    def __init__(self, options: SinkOptions, info: SourceInfo) -> None:
        """Check that the file can hold the source's frames and streams.

        Raises:
            SinkError, OptionError: see `streamcam.sinks.open_sink`.
        """
        self.path = options.path
        self.num_frames = 0
        self._lock = threading.Lock()
        self.notes: list[str] = []
        self._info = info
        self._suffix = options.path.suffix.lower()
        self._fragmented = self._suffix in (".mp4", ".mov")
        self._codec, self._encoder, self._encoder_options, note = choose_encoder(options)
        self.encoder = self._encoder.name
        self.notes.extend([note] if note else [])
        self._pixel_format, note = choose_pixel_format(self._codec, self._encoder, info)
        self.notes.extend([note] if note else [])
        self._muxer_options = muxer_options(info, fragmented=self._fragmented)
        self._templates, rejected = muxable_streams(
            _FORMATS[self._suffix], self._muxer_options, info.passthrough_streams
        )
        self.notes.extend(f"{stream} is dropped: {self._suffix} cannot hold it" for stream in rejected)
        self._output: OutputContainer | None = None
        self._failed = False
        self._first_packets: list[Packet[VideoStream]] | None = None
        self._copier: StreamCopier | None = None
        self._awaited_streams: set[int] = set()
        self._pending_packets: list[Packet[Any]] = []
        self._decode_delay_ticks: int | None = None
        self._pts_rounder = PtsRounder(options.path, info.time_base)
        self._end_pts = 0
        self._reformatter = VideoReformatter()

    def __enter__(self) -> Self:
        return self

    def write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = ()) -> None:
        """See `streamcam.sinks.Sink`."""
        with self._lock:
            try:
                if self._output is None:
                    self._open(frame, pts)
                self._copy_packets(packets)
                self._encode(frame, pts)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                self._fail(error)
            self.num_frames += 1

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """See `streamcam.sinks.Sink`."""
        if self._output is None:
            return
        try:
            self._copy_packets(packets)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._fail(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `streamcam.sinks.Sink`."""
        # After an interrupt another thread may still be writing a frame.
        with self._lock:
            self._close(kind)

    def _close(self, kind: type[BaseException] | None) -> None:
        if self._output is None:
            return
        failure: Exception | None = None
        try:
            self._finish()
        except (av.error.FFmpegError, OSError, ValueError) as caught:
            failure = caught
        finally:
            self._output = None
        if (failure or self._failed) and self._fragmented and not truncate_to_last_fragment(self.path):
            self.path.unlink(missing_ok=True)
        if failure and kind is None:
            self._fail(failure)

    def _open(self, frame: VideoFrame, pts: int) -> None:
        if self._encoder.needs_even_size and (frame.width % 2 or frame.height % 2):
            raise SinkError(f"{self._codec} cannot hold frames of {frame.width}x{frame.height}", expected="even sides")
        output = av.open(
            f"file:{self.path}",
            "w",
            format=_FORMATS[self._suffix],
            container_options=self._muxer_options,
            metadata_errors="replace",
        )
        if frame.format.name == CUDA_FORMAT and self._encoder in NVENC_ENCODERS.values():
            self._pixel_format = CUDA_FORMAT
        output.metadata.update(clean_metadata(self._info.metadata))
        output.set_chapters(chapter_entries(self._info.chapters))
        self._start_seconds = pts * self._info.time_base
        self._stream = self._add_video(output, frame)
        try:
            if self._pixel_format == CUDA_FORMAT:
                # The encoder opens with the first frame, which determines the memory that frames are in.
                self._first_packets = self._stream.encode(self._prepare_frame(frame, pts))
            else:
                self._stream.codec_context.open()
        except (av.error.FFmpegError, ValueError) as error:
            size = f"{frame.width}x{frame.height}"
            raise SinkError(f"{self._codec} cannot encode frames of {size}: {_reason(error)}") from error
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
        self._copier = StreamCopier(self._output, templates)
        self._output.start_encoding()
        if self._stream.time_base:
            self._pts_rounder.set_muxer(Fraction(self._stream.time_base), fragmented=self._fragmented)
        pending, self._pending_packets = self._pending_packets, []
        for packet in pending:
            if packet.stream is self._stream:
                self._mux([packet])
            else:
                self._copier.mux([packet])

    def _copy_packets(self, packets: Iterable[Packet[Any]]) -> None:
        if self._copier is not None:
            self._copier.mux(packets)
            return
        for packet in packets:
            self._pending_packets.append(packet)
            self._awaited_streams.discard(packet.stream.index)
        if not self._awaited_streams:
            self._write_header()

    def _add_video(self, output: OutputContainer, frame: VideoFrame) -> VideoStream:
        fps = self._info.average_fps or _DEFAULT_FPS
        options = without_lookahead(self._encoder, self._encoder_options, (frame.width, frame.height))
        stream = output.add_stream(self._encoder.name, rate=fps, options=options)
        assert isinstance(stream, VideoStream)
        configure_video(stream.codec_context, self._info, (frame.width, frame.height), self._pixel_format, fps)
        if self._encoder.codec_tag and self._fragmented:
            stream.codec_context.codec_tag = self._encoder.codec_tag
        frame_seconds = Fraction(1) if self._info.is_image else 1 / fps
        self._frame_ticks = max(1, round(frame_seconds / self._info.time_base))
        return stream

    def _encode(self, frame: VideoFrame, pts: int) -> None:
        if self._copier is None and pts * self._info.time_base > self._start_seconds + _MAX_HEADER_WAIT_SECONDS:
            self._write_header()
        if self._first_packets is None:
            self._mux(self._stream.encode(self._prepare_frame(frame, pts)))
            return
        packets, self._first_packets = self._first_packets, None
        self._mux(packets)

    def _prepare_frame(self, frame: VideoFrame, pts: int) -> VideoFrame:
        if (frame.width, frame.height) != (self._stream.width, self._stream.height):
            raise SinkError(
                f"frame {self.num_frames} has {frame.width}x{frame.height}",
                expected=f"{self._stream.width}x{self._stream.height} like earlier frames",
            )
        if frame.format.name != self._pixel_format:
            frame = self._reformatter.reformat(frame, format=self._pixel_format, threads=1)
        pts = self._pts_rounder(pts)
        frame.pts, frame.time_base = pts, self._info.time_base
        if self._info.is_image or not frame.duration:
            frame.duration = self._frame_ticks
        self._end_pts = pts + frame.duration
        frame.pict_type = PictureType.NONE
        return frame

    def _extend_last_packet(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        """Return the encoder's last packets; extend the very last one.

        It lasts until the end of the last frame.

        If there are one or two frames only, x265 leaves their decoding times unset; they are in order.

        FFmpeg ends an MP4 where its last fragment ends. That fragment may hold an earlier frame alone, which is decoded
        last, and players would skip later frames. For the length of the track FFmpeg counts decoding times, the last
        of which may lie long before the last frame.
        """
        if max(len(packets), self.num_frames) <= _MAX_UNTIMED_PACKETS:
            for packet in packets:
                packet.dts = packet.pts
        last = packets[-1] if packets else None
        if self._fragmented and last and last.pts is not None and last.dts is not None:
            delay_ticks = (
                self._decode_delay_ticks
                if self._decode_delay_ticks is not None
                else (packets[0].pts or 0) - (packets[0].dts or 0)
            )
            last.duration = max(last.duration or 0, self._end_pts - last.pts, self._end_pts - last.dts - delay_ticks)
        return packets

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._output is not None
        if self._copier is None:
            self._pending_packets.extend(packets)
            return
        for packet in packets:
            if self._decode_delay_ticks is None and packet.pts is not None and packet.dts is not None:
                self._decode_delay_ticks = packet.pts - packet.dts
            self._output.mux_one(packet)

    def _finish(self) -> None:
        """Complete the file.

        An interrupt meanwhile costs only the frames still in the encoder.
        """
        assert self._output is not None
        try:
            if not self._failed:
                if self._copier is None:
                    self._write_header()
                self._mux(self._extend_last_packet(self._stream.encode()))
        finally:
            self._output.close()
        self.notes += self._copier.notes if self._copier is not None else []
        if self._copier is not None and self._copier.num_corrected:
            self.notes.append(
                f"{self._copier.num_corrected} packets of copied streams had timestamps that did not increase, moved"
            )
        if self._fragmented and not self._failed:
            try:
                faststart(self.path)
            except (OSError, ValueError) as error:
                self.notes.append(f"{self.path} keeps its index at the end: {_reason(error)}")

    def _fail(self, error: Exception) -> NoReturn:
        self._failed = True
        if isinstance(error, OSError) and error.errno in _DISK_FULL_ERRORS:
            raise SinkError(
                f"no space left for {self.path}; the part written so far is kept", hint="free some space"
            ) from error
        raise SinkError(f"{self.path} cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
