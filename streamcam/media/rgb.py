"""Conversion between YUV frames and RGB images."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from ..frames import ColorSpec, RgbImage
from .color import FULL_RANGE, color_tags, scaler_color

_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class RgbConverter:
    """Converts YUV frames to packed RGB, full range.

    One object per thread: it keeps the scaler's tables.

    Args:
        exact: interpolate chroma to full resolution and round to nearest. Otherwise the scaler's fast path is used, at
            a fraction of the time.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._reformatter = VideoReformatter()
        self._interpolation = _EXACT if exact else None

    def __call__(self, frame: VideoFrame, color: ColorSpec | None = None) -> VideoFrame:
        """Convert one frame.

        Args:
            frame: in a working format.
            color: of the frame; its own tags by default. Without a matrix, BT.601 or BT.709 by size; without a range,
                limited.

        Returns:
            The frame as ``rgb24``.
        """
        matrix, color_range = scaler_color(color or color_tags(frame), frame.width, frame.height)
        return self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=matrix,
            src_color_range=color_range,
            dst_color_range=FULL_RANGE,
            interpolation=self._interpolation,
            threads=1,
        )


def to_rgb(frame: VideoFrame) -> RgbImage:
    """Return a YUV frame as ``uint8 (height, width, 3)``, RGB, by its own color tags."""
    return np.ascontiguousarray(RgbConverter()(frame).to_ndarray(), np.uint8)


def from_rgb(image: RgbImage) -> VideoFrame:
    """Return an RGB image as an ``rgb24`` frame."""
    return VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
