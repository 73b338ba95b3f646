"""Videos of drawn images, by the sinks of ``streamcam process``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..frames import RgbImage, SourceInfo
from ..geometry import Size
from ..media.planes import next_even
from ..media.rgb import from_rgb
from ..notes import get_logger
from ..options import SinkOptions
from ..sinks import open_sink
from ..sources.normalize import FrameNormalizer

logger = get_logger(__name__)


@contextlib.contextmanager
def open_drawn_video(options: SinkOptions, info: SourceInfo, size: Size) -> Iterator[Callable[[RgbImage, int], None]]:
    """Open a file for drawn images; log the notes of its sink at the end.

    Args:
        options: path and encoding.
        info: name, time base and frame rate of the images; the rest is taken from the images.
        size: ``(width, height)`` of the images; odd sides are extended by their last row or column.

    Yields:
        A function that writes one image, ``uint8 (h, w, 3)`` RGB, at a time in the time base.

    Raises:
        StreamcamError: the file cannot be written.
    """
    width, height = map(next_even, size)
    padding = (0, height - size[1]), (0, width - size[0]), (0, 0)
    normalizer = FrameNormalizer(from_rgb(np.zeros((height, width, 3), np.uint8)), info.time_base)
    drawn_info = replace(
        info,
        width=width,
        height=height,
        pixel_format=normalizer.pixel_format,
        color=normalizer.color,
        pixel_aspect=Fraction(1),
        passthrough_streams=(),
    )
    with open_sink(options, drawn_info) as sink:

        def write(image: RgbImage, pts: int) -> None:
            sink.write(normalizer(from_rgb(np.pad(image, padding, mode="edge"))), pts)

        yield write
    for note in sink.notes:
        logger.info("%s", note)
