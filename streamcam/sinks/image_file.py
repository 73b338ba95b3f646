"""Single pictures: PNG and JPEG."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av.error
import numpy as np
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ..errors import OptionError, SinkError
from ..frames import SourceInfo
from ..options import SinkOptions
from .mp4 import temp_path

if TYPE_CHECKING:
    from av.packet import Packet

_JPEG_QUALITY = "2"
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class ImageSink:
    """Writes the one picture of a still input; see `streamcam.sinks.Sink`. Whole or not at all."""

    def __init__(self, options: SinkOptions, info: SourceInfo) -> None:
        """Checks that there is one picture, of ordinary range.

        Raises:
            SinkError: the input is a video, or HDR.
            OptionError: options of a video codec are given.
        """
        self.path = options.path
        self.encoder = "png" if options.path.suffix.lower() == ".png" else "mjpeg"
        self.num_frames = 0
        self.notes: list[str] = []
        self._suffix = options.path.suffix.lower()
        self._odd_sides = info.width % 2 == 1, info.height % 2 == 1
        self._full_range = info.color.range == 2
        self._matrix = info.color.resolve_matrix(info.width, info.height)
        codec_options = [name for name in ("codec", "crf", "preset") if getattr(options, name) is not None]
        if codec_options:
            raise OptionError(
                f"--{codec_options[0]} cannot be used with {self._suffix}", hint="leave it out, or write a video"
            )
        if info.num_frames is not None and info.num_frames > 1:
            raise self._single_image_error(f"{info.name} is a video of about {info.num_frames} frames")
        if info.color.is_hdr:
            raise SinkError(
                f"{info.name} is HDR, which {self._suffix} cannot keep", hint="write .mp4 with --codec hevc"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do: the picture was completed when it was written."""

    def write(self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = ()) -> None:
        """See `streamcam.sinks.Sink`; a second picture is an error."""
        if self.num_frames:
            raise self._single_image_error("there is a second picture to write")
        part = temp_path(self.path)
        try:
            part.write_bytes(self._encode(frame))
            os.replace(part, self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise SinkError(f"{self.path} cannot be written: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
        self.num_frames = 1

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """A picture has no other streams."""

    def _encode(self, frame: VideoFrame) -> bytes:
        rgb = VideoReformatter().reformat(
            frame,
            format="rgb24",
            src_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG if self._full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACT,
            threads=1,
        )
        # Pictures are drawn with even sides, for which nothing asks here.
        width = rgb.width - (self._odd_sides[0] and rgb.width % 2 == 0)
        height = rgb.height - (self._odd_sides[1] and rgb.height % 2 == 0)
        if (width, height) != (rgb.width, rgb.height):
            pixels = np.ascontiguousarray(rgb.to_ndarray()[:height, :width], np.uint8)
            rgb = VideoFrame.from_ndarray(pixels, "rgb24")
        is_jpeg = self._suffix != ".png"
        if is_jpeg:  # JFIF knows one way to mean colours: BT.601, full range
            rgb = VideoReformatter().reformat(
                rgb,
                format="yuvj444p",
                dst_colorspace=Colorspace.ITU601,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.JPEG,
                interpolation=_EXACT,
                threads=1,
            )
        context = CodecContext.create("mjpeg" if is_jpeg else "png", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = rgb.width, rgb.height, rgb.format.name
        context.time_base = Fraction(1, 25)
        context.color_range = ColorRange.JPEG
        if is_jpeg:
            context.options = {"qmin": _JPEG_QUALITY, "qmax": _JPEG_QUALITY}
        rgb.pts = 0
        return b"".join(bytes(packet) for packet in [*context.encode(rgb), *context.encode()])

    def _single_image_error(self, problem: str) -> SinkError:
        return SinkError(f"{problem}, but {self._suffix} holds a single picture", hint="use .mp4, .mkv or .webm")
