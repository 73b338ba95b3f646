"""Animated WebP, which FFmpeg does not read, through Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from ..config import SourceOptions
from ..errors import SourceError
from ..frames import Frame, SourceInfo
from .upright import Upright

if TYPE_CHECKING:
    from av.packet import Packet

_TIME_BASE = Fraction(1, 1000)


class WebpSource:
    """Frames of an animated WebP, laid over white; see `streamcam.sources.Source`."""

    def __init__(self, options: SourceOptions, *, stay: bool = False) -> None:
        """Opens the file; ``stay`` is for what a card decodes.

        Raises:
            SourceError: it cannot be decoded.
        """
        path = options.url.removeprefix("file://")
        self._begin = (options.start or Fraction(0)) / _TIME_BASE
        self._end = None if options.end is None else options.end / _TIME_BASE
        self.skipped = 0
        self.decoder = "webp"
        self.notes: list[str] = []
        self.tail: tuple[Packet[Any], ...] = ()
        try:
            self._image = Image.open(path)
        except (OSError, SyntaxError) as error:
            raise SourceError(f"{path} is a damaged WebP: {error}") from error
        count = int(getattr(self._image, "n_frames", 1))
        self._frames = count
        self._pictures = self._decoded()
        first = next(self._pictures, None)
        if first is None:
            self._image.close()
            raise SourceError(f"{path} has no frame that can be decoded from --start to --end")
        self._first = first
        self._upright = Upright(first, _TIME_BASE)
        self.info = SourceInfo(
            name=path,
            width=self._upright.width,
            height=self._upright.height,
            pixel_format=self._upright.pixel_format,
            time_base=_TIME_BASE,
            colour=self._upright.colour,
            frames=count,
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
        picture: VideoFrame | None = self._first
        while picture is not None:
            assert picture.pts is not None
            yield Frame(index, picture.pts, self._upright(picture))
            index += 1
            picture = next(self._pictures, None)

    def _decoded(self) -> Iterator[VideoFrame]:
        """Frames of the window as RGBA, with the time each begins at."""
        time = 0
        for index in range(self._frames):
            if self._end is not None and time >= self._end:
                return
            try:
                self._image.seek(index)
                rgba = np.asarray(self._image.convert("RGBA"))
            except (OSError, EOFError, ValueError):
                self.skipped += 1
                continue
            duration = max(1, round(self._image.info.get("duration", 100)))
            if time >= self._begin:
                frame = VideoFrame.from_ndarray(rgba, "rgba")
                frame.pts, frame.time_base, frame.duration = time - int(self._begin), _TIME_BASE, duration
                yield frame
            time += duration
