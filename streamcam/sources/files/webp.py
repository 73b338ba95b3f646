"""Animated WebP, which FFmpeg does not read, through Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from ...errors import SourceError
from ...frames import Frame, SourceInfo
from ...options import SourceOptions
from ..frame_limits import check_frame_size
from ..image_headers import webp_canvas_size
from ..normalize import STRIPE_ROWS, FrameNormalizer, blend_over_white, packed_rows

if TYPE_CHECKING:
    from av.packet import Packet

_TIME_BASE = Fraction(1, 1000)


class WebpSource:
    """Frames of an animated WebP, laid over white; see `streamcam.sources.Source`."""

    def __init__(self, options: SourceOptions, *, keep_on_gpu: bool = False) -> None:
        """Open the file; ``keep_on_gpu`` has no effect, as no GPU decodes WebP.

        Raises:
            SourceError: it cannot be decoded.
        """
        path = options.url.removeprefix("file://")
        start, end = options.window
        self._begin_ticks = start / _TIME_BASE
        self._end_ticks = None if end is None else end / _TIME_BASE
        self.skipped = 0
        self.decoder = "webp"
        self.notes: list[str] = []
        self.trailing_packets: tuple[Packet[Any], ...] = ()
        check_frame_size(path, webp_canvas_size(path), options.max_pixels)
        try:
            self._image = _open_image(path)
        except (OSError, SyntaxError, ValueError) as error:
            raise SourceError(f"{path} is a damaged WebP: {error}") from error
        except Image.DecompressionBombError as error:
            raise SourceError(f"{path} is larger than Pillow decodes: {error}") from error
        num_frames = int(getattr(self._image, "n_frames", 1))
        self._num_frames = num_frames
        self._frames = self._decode_window()
        first = next(self._frames, None)
        if first is None:
            self._image.close()
            raise SourceError(f"{path} has no frame that can be decoded from --start to --end")
        self._first = first
        self._normalizer = FrameNormalizer(first, _TIME_BASE)
        self.info = SourceInfo(
            name=path,
            width=self._normalizer.width,
            height=self._normalizer.height,
            pixel_format=self._normalizer.pixel_format,
            time_base=_TIME_BASE,
            color=self._normalizer.color,
            num_frames=num_frames,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.close()

    def __iter__(self) -> Iterator[Frame]:
        """See `streamcam.sources.Source`."""
        index = 0
        frame: VideoFrame | None = self._first
        while frame is not None:
            assert frame.pts is not None
            yield Frame(index, frame.pts, self._normalizer(frame))
            index += 1
            frame = next(self._frames, None)

    def _decode_window(self) -> Iterator[VideoFrame]:
        """Yield frames of the window as RGB, timed by their start."""
        begin_ticks = 0
        for index in range(self._num_frames):
            if self._end_ticks is not None and begin_ticks >= self._end_ticks:
                return
            try:
                self._image.seek(index)
                frame = _to_frame(self._image)
            except (OSError, EOFError, ValueError):
                self.skipped += 1
                continue
            duration_ticks = max(1, round(self._image.info.get("duration", 100)))
            if begin_ticks >= self._begin_ticks:
                frame.pts, frame.time_base, frame.duration = (
                    begin_ticks - int(self._begin_ticks),
                    _TIME_BASE,
                    duration_ticks,
                )
                yield frame
            begin_ticks += duration_ticks


def _open_image(path: str) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=("WEBP",))


def _to_frame(image: Image.Image) -> VideoFrame:
    """Lay the image's current frame over white; return ``rgb24``."""
    frame = VideoFrame(image.width, image.height, "rgb24")
    rows = packed_rows(frame, 3)
    for top in range(0, image.height, STRIPE_ROWS):
        stripe = image.crop((0, top, image.width, min(top + STRIPE_ROWS, image.height)))
        blend_over_white(np.asarray(stripe.convert("RGBA")), rows[top : top + STRIPE_ROWS])
    return frame
