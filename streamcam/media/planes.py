"""Planes of a YUV 4:2:0 image as NumPy arrays sharing memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Plane: TypeAlias = NDArray[Any]
Planes: TypeAlias = tuple[Plane, Plane, Plane]
"""Luma, Cb and Cr: ``uint8`` or, for 10-bit images, ``uint16 (height, width)`` each."""


def sample_dtype(pixel_format: str) -> np.dtype[Any]:
    """Return the dtype of an image's samples."""
    return np.dtype(np.uint16 if pixel_format.endswith("10le") else np.uint8)


def plane_arrays(video_frame: VideoFrame) -> Planes:
    """Return luma, Cb and Cr of a 4:2:0 image as views.

    Args:
        video_frame: 8-bit, or 10-bit little-endian.
    """
    dtype = sample_dtype(video_frame.format.name)
    luma, blue, red = (
        np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)[
            : plane.height, : plane.width
        ]
        for plane in video_frame.planes
    )
    return luma, blue, red


def interleave_planes(video_frame: VideoFrame, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Copy the planes of a GBR-planar image into RGB pixels.

    Args:
        video_frame: planes in the order G, B, R.
        dtype: of a sample.

    Returns:
        ``(h, w, 3)``, RGB, contiguous.
    """
    packed = np.empty((video_frame.height, video_frame.width, 3), dtype)
    for channel, plane in zip((1, 2, 0), video_frame.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), dtype).reshape(video_frame.height, plane.line_size // dtype.itemsize)
        packed[..., channel] = rows[:, : video_frame.width]
    return packed


def next_even(length: int) -> int:
    """Round a length up to an even number."""
    return length + length % 2


def copy_into(target: Planes, source: Planes, top: int = 0, left: int = 0) -> None:
    """Copy an image into a larger one of even sides.

    The last row and column of an image with odd sides are repeated, so that each chroma sample keeps its four pixels.

    Args:
        target: written.
        source: only read.
        top: row in the target, even.
        left: column in the target, even.
    """
    height, width = source[0].shape
    luma = target[0][top : top + next_even(height), left : left + next_even(width)]
    luma[:height, :width] = source[0]
    if width % 2:
        luma[:height, width] = source[0][:, -1]
    if height % 2:
        luma[height] = luma[height - 1]
    for to, plane in zip(target[1:], source[1:], strict=True):
        to[top // 2 : top // 2 + plane.shape[0], left // 2 : left // 2 + plane.shape[1]] = plane
