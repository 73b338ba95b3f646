"""The model's input: an image scaled to the input's size, in RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from ..frames import ColorSpec, RgbImage
from ..geometry import Geometry
from ..media.color import FULL_RANGE, scaler_color
from ..media.letterbox import place
from ..media.planes import interleave_planes
from .tone_mapping import tone_map

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

LETTERBOX_GRAY = 127
"""Gray of the border that ``letterbox`` leaves."""

_RGB_INTERPOLATION = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
"""For RGB sources, which the scaler would read at half the horizontal color resolution otherwise."""


class InputResizer:
    """Scales images to the model's input.

    One object per thread: it keeps the scaler's tables.

    Each output pixel is the average of the area it covers, which is both the cheapest of the scaler's
    methods that do not alias and the closest to the true average.

    Args:
        geometry: position and scale of the images in the model's input.
        color: of YUV images; RGB images are full-range sRGB.
    """

    def __init__(self, geometry: Geometry, color: ColorSpec) -> None:
        self._geometry = geometry
        self._color = color
        self._reformatter = VideoReformatter()

    def __call__(self, video_frame: VideoFrame) -> RgbImage:
        """Scale one image.

        Args:
            video_frame: upright, of the geometry's source size, in a working format or ``rgb24``.

        Returns:
            ``uint8 (input height, input width, 3)`` RGB, full range; HDR is tone-mapped.
        """
        resized = self._resize(video_frame)
        width, height = self._geometry.input
        left, top = self._geometry.offset
        if left == top == 0 and resized.shape[:2] == (height, width):
            return resized
        padded = np.full((height, width, 3), LETTERBOX_GRAY, np.uint8)
        place(padded, resized, left, top)
        return padded

    def _resize(self, video_frame: VideoFrame) -> RgbImage:
        width, height = self._geometry.scaled
        matrix, color_range = scaler_color(self._color, *self._geometry.source)
        is_rgb = video_frame.format.is_rgb
        is_hdr = self._color.is_hdr and not is_rgb
        # Separate planes of R, G and B are both the fastest and the only exact output of the scaler: its
        # packed RGB has chroma at half the width and is 2 of 255 too dark.
        resized = self._reformatter.reformat(
            video_frame,
            width,
            height,
            "gbrp16le" if is_hdr else "gbrp",
            src_colorspace=None if is_rgb else matrix,
            src_color_range=FULL_RANGE if is_rgb else color_range,
            dst_color_range=FULL_RANGE,
            interpolation=_RGB_INTERPOLATION if is_rgb else Interpolation.AREA,
            threads=1,
        )
        if is_hdr:
            return tone_map(interleave_planes(resized, np.dtype("<u2")), self._color.transfer)
        return interleave_planes(resized, np.dtype(np.uint8))
