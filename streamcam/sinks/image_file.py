"""Single images: PNG and JPEG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import OptionError, SinkError
from ..frames import SourceInfo
from ..media.color import scaler_color
from ..media.image_bytes import encode_rgb
from ..media.rgb import RgbConverter
from ..options import SinkOptions
from .output_file import OutputFile
from .paths import temporary_copy

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

_JPEG_QUALITY = 95


class ImageSink:
    """Writes the one frame of a still input; see `streamcam.sinks.Sink`.

    Writes the file completely or not at all.
    """

    num_encoders = 1

    def __init__(self, options: SinkOptions, info: SourceInfo) -> None:
        """Check that the input is one image, in SDR.

        Raises:
            SinkError: the input is a video, or HDR.
            OptionError: options of a video codec are given.
        """
        self.path = options.path
        self.encoder = "png" if options.path.suffix.lower() == ".png" else "mjpeg"
        self.num_frames = 0
        self.notes: list[str] = []
        self._suffix = options.path.suffix.lower()
        self._file = OutputFile(options.path, overwrite=options.overwrite)
        self._odd_sides = info.width % 2 == 1, info.height % 2 == 1
        # A drawn frame is padded to even sides, so the source's size decides which matrix applies.
        matrix, color_range = scaler_color(info.color, info.width, info.height)
        self._color = replace(info.color, matrix=matrix, range=color_range)
        codec_options = [name for name in ("codec", "crf", "preset") if getattr(options, name) is not None]
        if codec_options:
            raise OptionError(
                f"--{codec_options[0]} cannot be used with {self._suffix}", hint="omit it, or write a video"
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
        """Check that the file is still there; it was completed when it was written."""
        try:
            if kind is None:
                self._file.check_in_place()
        finally:
            self._file.close()

    def write(
        self, frame: VideoFrame, pts: int, packets: tuple[Packet[Any], ...] = (), *, starts_chunk: bool = False
    ) -> bool:
        """Write the frame; a second one is an error. See `streamcam.sinks.Sink`."""
        if self.num_frames:
            raise self._single_image_error("there is a second frame to write")
        data = self._encode(frame)
        try:
            target = self._file.reserve()
            with temporary_copy(target) as part:
                part.write(data)
                part.close()
                self._file.replace(Path(part.name), target)
        except OSError as error:
            raise SinkError(f"{self.path} cannot be written: {error.strerror or error}") from error
        self.num_frames = 1
        return True

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """Ignore packets: an image has no other streams."""

    def _encode(self, frame: VideoFrame) -> bytes:
        rgb = RgbConverter(exact=True)(frame, self._color)
        # The renderer pads odd sides to even ones, which images do not need.
        width = rgb.width - (self._odd_sides[0] and rgb.width % 2 == 0)
        height = rgb.height - (self._odd_sides[1] and rgb.height % 2 == 0)
        pixels = np.ascontiguousarray(rgb.to_ndarray()[:height, :width], np.uint8)
        return encode_rgb(pixels, self._suffix, quality=_JPEG_QUALITY, subsampling="4:4:4")

    def _single_image_error(self, problem: str) -> SinkError:
        return SinkError(f"{problem}, but {self._suffix} holds a single image", hint="use .mp4, .mkv or .webm")
