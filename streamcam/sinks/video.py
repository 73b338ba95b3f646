"""Video files: MP4, QuickTime, Matroska, WebM."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor, lcm
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import av
import av.error
from av.codec import Codec as Library
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..config import SinkOptions
from ..cuda import ON_CARD
from ..errors import SinkError
from ..frames import SourceInfo
from .boxes import cut_torn_end, move_index_to_front
from .codecs import ON_A_CARD, choose_encoder
from .copied import Copier, described, fresh, holdable, is_described_by_packets

if TYPE_CHECKING:
    from av.packet import Packet

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_ASSUMED_RATE = Fraction(25)
_FRAGMENT_SECONDS = 2
_HALF = Fraction(1, 2)
_LARGEST_TIMESCALE = 2**31 - 1
_LONGEST_PICTURE = 2**31 - 1
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_KEEP_DURATIONS = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION
_UNTIMED = 2
_CHAPTER_TICKS = 1000
_AWAITED = 10
"""Seconds for which the file's header waits for the first packet of a stream that it describes by that."""
_HDR_NAMES = {16: "PQ", 18: "HLG"}


class VideoSink:
    """Encodes pictures and copies other streams; see `streamcam.sinks.Sink`.

    MP4 and QuickTime files are written in fragments, so that a process killed at any moment leaves one
    that plays up to its last whole fragment; at the end it becomes an ordinary file with its index in front.
    """

    def __init__(self, options: SinkOptions, info: SourceInfo) -> None:
        """Checks that the pictures and streams of ``info`` can go into the file.

        Raises:
            SinkError, OptionError: see `streamcam.sinks.open_sink`.
        """
        self.path = options.path
        self.frames = 0
        self._lock = threading.Lock()
        self.notes: list[str] = []
        self._info = info
        self._suffix = options.path.suffix.lower()
        self._fragmented = self._suffix in (".mp4", ".mov")
        self._codec, self._encoder, self._encoder_options, note = choose_encoder(options)
        self.encoder = self._encoder.name
        self.notes.extend([note] if note else [])
        self._pixel_format = self._choose_pixel_format()
        self._muxer_options = self._choose_muxer_options()
        self._templates, refused = holdable(_FORMATS[self._suffix], self._muxer_options, info.copied)
        self.notes.extend(f"{what} left out: {self._suffix} cannot hold it" for what in refused)
        self._output: OutputContainer | None = None
        self._failed = False
        self._ahead: list[Packet[VideoStream]] | None = None
        self._copier: Copier | None = None
        self._awaited: set[int] = set()
        self._held: list[Packet[Any]] = []
        self._delay: int | None = None
        self._unit: Fraction | None = None
        self._longest: int | None = None
        self._shown: int | None = None
        self._end = 0
        self._reformatter = VideoReformatter()

    def _choose_pixel_format(self) -> str:
        known = {known.name for known in Library(self._encoder.name, "w").video_formats or ()}
        if self._info.pixel_format == "yuv420p":
            return "yuv420p"
        if self._encoder.deep and self._encoder.deep_format in known:
            return self._encoder.deep_format
        if self._info.colour.hdr:
            raise SinkError(
                f"{self._info.name} is HDR ({_HDR_NAMES[self._info.colour.transfer]}), which {self._codec} cannot keep",
                do="use --codec hevc or av1, with an output in .mp4 or .mkv",
            )
        if self._info.pixel_format != "yuv420p":
            self.notes.append(f"{self._codec} holds 8 of the 10 bits of {self._info.name}; hevc and av1 hold them all")
        return "yuv420p"

    def _choose_muxer_options(self) -> dict[str, str]:
        longest = str(_FRAGMENT_SECONDS * 1_000_000)
        # Packets of other streams wait no longer than this for video that is still in the encoder; a closed
        # fragment goes to the disk whole, none of it stays in a buffer of this process.
        options = {"max_interleave_delta": longest, "flush_packets": "1"}
        if not self._fragmented:
            # Sound that begins before zero (the encoder's priming) would otherwise push every stream back.
            return options | {"cluster_time_limit": str(_FRAGMENT_SECONDS * 1000), "avoid_negative_ts": "disabled"}
        # Offsets of streams against each other are rounded to the movie's time scale.
        scales = [s.time_base.denominator for s in self._info.copied if s.time_base]
        scale = lcm(self._info.time_base.denominator, *scales)
        if scale > _LARGEST_TIMESCALE:
            scale = self._info.time_base.denominator
        return options | {
            "movflags": "hybrid_fragmented+frag_keyframe+delay_moov",
            "frag_duration": longest,
            "movie_timescale": str(scale),
        }

    def __enter__(self) -> Self:
        return self

    def write(self, picture: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = ()) -> None:
        """See `streamcam.sinks.Sink`."""
        with self._lock:
            try:
                if self._output is None:
                    self._open(picture, pts)
                self._copy(packets)
                self._encode(picture, pts)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                self._fail(error)
            self.frames += 1

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """See `streamcam.sinks.Sink`."""
        if self._output is None:
            return
        try:
            self._copy(packets)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._fail(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `streamcam.sinks.Sink`."""
        # A run that was interrupted may still have a picture under way in another thread.
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
        if (failure or self._failed) and self._fragmented and not cut_torn_end(self.path):
            self.path.unlink(missing_ok=True)
        if failure and kind is None:
            self._fail(failure)

    def _open(self, picture: VideoFrame, pts: int) -> None:
        if self._encoder.even and (picture.width % 2 or picture.height % 2):
            raise SinkError(
                f"{self._codec} cannot hold pictures of {picture.width}x{picture.height}", wanted="even sides"
            )
        output = av.open(
            f"file:{self.path}",
            "w",
            format=_FORMATS[self._suffix],
            container_options=self._muxer_options,
            metadata_errors="replace",
        )
        if picture.format.name == ON_CARD and self._encoder in ON_A_CARD.values():
            self._pixel_format = ON_CARD
        output.metadata.update(fresh(self._info.metadata))
        output.set_chapters(
            [
                {
                    "id": number,
                    "start": round(chapter.begin * _CHAPTER_TICKS),
                    "end": round(chapter.end * _CHAPTER_TICKS),
                    "time_base": Fraction(1, _CHAPTER_TICKS),
                    "metadata": chapter.metadata,
                }
                for number, chapter in enumerate(self._info.chapters, 1)
            ]
        )
        self._start = pts * self._info.time_base
        self._stream = self._add_video(output, picture)
        try:
            if self._pixel_format == ON_CARD:
                # The encoder opens with the first picture, which tells it in which memory they are.
                self._ahead = self._stream.encode(self._prepared(picture, pts))
            else:
                self._stream.codec_context.open()
        except (av.error.FFmpegError, ValueError) as error:
            size = f"{picture.width}x{picture.height}"
            raise SinkError(f"{self._codec} cannot encode pictures of {size}: {_reason(error)}") from error
        self._output = output
        if self._fragmented:
            self._awaited = {t.index for t in self._templates if is_described_by_packets(t)}
        if not self._awaited:
            self._begin()

    def _begin(self) -> None:
        """Writes the file's header, without streams of which no packet has come that the header needs."""
        assert self._output is not None
        templates = [template for template in self._templates if template.index not in self._awaited]
        self.notes.extend(
            f"{described(template)} left out: none of it comes in {_AWAITED} s, and {self._suffix} cannot wait"
            for template in self._templates
            if template not in templates
        )
        self._copier = Copier(self._output, templates)
        self._output.start_encoding()
        if self._stream.time_base:
            unit = Fraction(self._stream.time_base) / self._info.time_base
            self._unit = unit if unit > 1 else None
            self._longest = floor(_LONGEST_PICTURE * unit) if self._fragmented else None
        held, self._held = self._held, []
        for packet in held:
            if packet.stream is self._stream:
                self._mux([packet])
            else:
                self._copier.mux([packet])

    def _copy(self, packets: Iterable[Packet[Any]]) -> None:
        if self._copier is not None:
            self._copier.mux(packets)
            return
        for packet in packets:
            self._held.append(packet)
            self._awaited.discard(packet.stream.index)
        if not self._awaited:
            self._begin()

    def _add_video(self, output: OutputContainer, picture: VideoFrame) -> VideoStream:
        rate = self._info.rate or _ASSUMED_RATE
        stream = output.add_stream(self._encoder.name, rate=rate, options=self._encoder_options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = picture.width, picture.height, self._pixel_format
        context.time_base = self._info.time_base
        context.sample_aspect_ratio = self._info.pixel_aspect
        colour = self._info.colour
        context.color_range, context.color_primaries = colour.range, colour.primaries
        context.color_trc, context.colorspace = colour.transfer, colour.matrix
        context.flags |= _KEEP_DURATIONS
        context.gop_size = min(max(round(_FRAGMENT_SECONDS * rate), 10), 250)
        if self._encoder.tag and self._fragmented:
            context.codec_tag = self._encoder.tag
        seconds = Fraction(1) if self._info.still else 1 / rate
        self._duration = max(1, round(seconds / self._info.time_base))
        return stream

    def _encode(self, picture: VideoFrame, pts: int) -> None:
        if self._copier is None and pts * self._info.time_base > self._start + _AWAITED:
            self._begin()
        if self._ahead is None:
            self._mux(self._stream.encode(self._prepared(picture, pts)))
            return
        packets, self._ahead = self._ahead, None
        self._mux(packets)

    def _prepared(self, picture: VideoFrame, pts: int) -> VideoFrame:
        if (picture.width, picture.height) != (self._stream.width, self._stream.height):
            raise SinkError(
                f"picture {self.frames} has {picture.width}x{picture.height}",
                wanted=f"{self._stream.width}x{self._stream.height} like those before",
            )
        self._check_gap(pts)
        if picture.format.name != self._pixel_format:
            picture = self._reformatter.reformat(picture, format=self._pixel_format, threads=1)
        self._shown = pts = self._told_apart(pts)
        picture.pts, picture.time_base = pts, self._info.time_base
        if self._info.still or not picture.duration:
            picture.duration = self._duration
        self._end = pts + picture.duration
        picture.pict_type = PictureType.NONE
        return picture

    def _check_gap(self, pts: int) -> None:
        """FFmpeg ends the process where a picture of an MP4 lasts for longer than its number of ticks can tell."""
        if self._shown is not None and self._longest is not None and pts - self._shown > self._longest:
            hours = float((pts - self._shown) * self._info.time_base) / 3600
            raise SinkError(
                f"{self.path} cannot hold a picture that is shown for {hours:.1f} hours",
                do="choose a name that ends in .mkv",
            )

    def _told_apart(self, pts: int) -> int:
        """The time of a picture, later where the file would round it to that of the picture before.

        Matroska counts milliseconds, and pictures of a burst (a camera that lay still, a network that did) are closer.
        """
        if self._shown is None or self._unit is None:
            return pts
        before = floor(self._shown / self._unit + _HALF)
        return pts if floor(pts / self._unit + _HALF) > before else ceil((before + 1) * self._unit)

    def _lasting(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        """The encoder's last packets, of which the very last holds until the last picture has been shown.

        Where one or two pictures are all there is, x265 leaves their times of decoding unset; they are in order.

        FFmpeg takes for the end of an MP4 where its last fragment ends. That may hold an earlier picture alone, which
        is decoded last, and players would leave out what is shown after it. For the length of the track it counts times
        of decoding, of which the last may lie long before the last picture.
        """
        if max(len(packets), self.frames) <= _UNTIMED:
            for packet in packets:
                packet.dts = packet.pts
        last = packets[-1] if packets else None
        if self._fragmented and last and last.pts is not None and last.dts is not None:
            delay = self._delay if self._delay is not None else (packets[0].pts or 0) - (packets[0].dts or 0)
            last.duration = max(last.duration or 0, self._end - last.pts, self._end - last.dts - delay)
        return packets

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._output is not None
        if self._copier is None:
            self._held.extend(packets)
            return
        for packet in packets:
            if self._delay is None and packet.pts is not None and packet.dts is not None:
                self._delay = packet.pts - packet.dts
            self._output.mux_one(packet)

    def _finish(self) -> None:
        """Completes the file; an interrupt on the way only costs what is still in the encoder."""
        assert self._output is not None
        try:
            if not self._failed:
                if self._copier is None:
                    self._begin()
                self._mux(self._lasting(self._stream.encode()))
        finally:
            self._output.close()
        if self._copier is not None and self._copier.moved:
            self.notes.append(
                f"{self._copier.moved} packets of copied streams had timestamps that did not increase, moved"
            )
        if self._fragmented and not self._failed:
            try:
                move_index_to_front(self.path)
            except (OSError, ValueError) as error:
                self.notes.append(f"{self.path} keeps its index at the end: {_reason(error)}")

    def _fail(self, error: Exception) -> NoReturn:
        self._failed = True
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise SinkError(
                f"no space left for {self.path}; what was complete until then is kept", do="free some space"
            ) from error
        raise SinkError(f"{self.path} cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
