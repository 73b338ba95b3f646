"""The model's view of a picture: scaled to its input, in RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..frames import ColorSpec, RgbImage
from ..geometry import Geometry
from .tone_mapping import tone_map

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

LETTERBOX_GRAY = 127
"""Grey of the border that ``letterbox`` leaves."""


class InputResizer:
    """Scales pictures to the model's input. One object per thread: it keeps the scaler's tables.

    Each output pixel is the average of the area it covers, which is both the cheapest of the scaler's
    methods that do not alias and the closest to the true average.
    """

    def __init__(self, geometry: Geometry, color: ColorSpec) -> None:
        self._geometry = geometry
        self._color = color
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> RgbImage:
        """Scales one picture.

        Args:
            frame: upright, of the geometry's source size, in a drawable format.

        Returns:
            ``uint8 (input height, input width, 3)`` RGB, full range; HDR is mapped to ordinary range.
        """
        resized = self._resize(frame)
        width, height = self._geometry.input
        left, top = self._geometry.offset
        if left == top == 0 and resized.shape[:2] == (height, width):
            return resized
        padded = np.full((height, width, 3), LETTERBOX_GRAY, np.uint8)
        rows, columns = resized.shape[:2]
        target = padded[max(top, 0) : top + rows, max(left, 0) : left + columns]
        target[:] = resized[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
        return padded

    def _resize(self, frame: VideoFrame) -> RgbImage:
        width, height = self._geometry.scaled
        # Separate planes of R, G and B are both the fastest and the only exact way out of the scaler: its
        # packed RGB has chroma at half the width and is 2 of 255 too dark.
        resized = self._reformatter.reformat(
            frame,
            width,
            height,
            "gbrp16le" if self._color.is_hdr else "gbrp",
            src_colorspace=self._color.resolve_matrix(*self._geometry.source),
            src_color_range=ColorRange.JPEG if self._color.range == 2 else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        if self._color.is_hdr:
            return tone_map(_interleave_planes(resized, np.dtype("<u2")), self._color.transfer)
        return _interleave_planes(resized, np.dtype(np.uint8))


def _interleave_planes(frame: VideoFrame, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``(h, w, 3)`` of planes in the order G, B, R, without the padding of their rows."""
    packed = np.empty((frame.height, frame.width, 3), dtype)
    for channel, plane in zip((1, 2, 0), frame.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), dtype).reshape(frame.height, plane.line_size // dtype.itemsize)
        packed[..., channel] = rows[:, : frame.width]
    return packed
