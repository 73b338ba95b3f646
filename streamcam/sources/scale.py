"""The model's view of a picture: scaled to its input, in RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..frames import Colour, Pixels
from ..geometry import Geometry
from .hdr import tone_map

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

BORDER = 127
"""Grey of the border that ``letterbox`` leaves."""


class Scaler:
    """Scales pictures to the model's input. One object per thread: it keeps the scaler's tables.

    Each output pixel is the average of the area it covers, which is both the cheapest of the scaler's
    methods that do not alias and the closest to the true average.
    """

    def __init__(self, geometry: Geometry, colour: Colour) -> None:
        self._geometry = geometry
        self._colour = colour
        self._reformatter = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> Pixels:
        """Scales one picture.

        Args:
            picture: upright, of the geometry's source size, in a drawable format.

        Returns:
            ``uint8 (input height, input width, 3)`` RGB, full range; HDR is mapped to ordinary range.
        """
        scaled = self._scaled(picture)
        width, height = self._geometry.input
        left, top = self._geometry.offset
        if left == top == 0 and scaled.shape[:2] == (height, width):
            return scaled
        view = np.full((height, width, 3), BORDER, np.uint8)
        rows, columns = scaled.shape[:2]
        target = view[max(top, 0) : top + rows, max(left, 0) : left + columns]
        target[:] = scaled[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
        return view

    def _scaled(self, picture: VideoFrame) -> Pixels:
        width, height = self._geometry.scaled
        # Separate planes of R, G and B are both the fastest and the only exact way out of the scaler: its
        # packed RGB has chroma at half the width and is 2 of 255 too dark.
        scaled = self._reformatter.reformat(
            picture,
            width,
            height,
            "gbrp16le" if self._colour.hdr else "gbrp",
            src_colorspace=self._colour.matrix_of(*self._geometry.source),
            src_color_range=ColorRange.JPEG if self._colour.range == 2 else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        if self._colour.hdr:
            return tone_map(_packed(scaled, np.dtype("<u2")), self._colour.transfer)
        return _packed(scaled, np.dtype(np.uint8))


def _packed(frame: VideoFrame, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``(h, w, 3)`` of planes in the order G, B, R, without the padding of their rows."""
    packed = np.empty((frame.height, frame.width, 3), dtype)
    for channel, plane in zip((1, 2, 0), frame.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), dtype).reshape(frame.height, plane.line_size // dtype.itemsize)
        packed[..., channel] = rows[:, : frame.width]
    return packed
