"""Blending into the planes of YUV images.

A plane is ``uint8`` or, for 10-bit images, ``uint16 (height, width)``: a view of the image's own
memory without its padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..geometry import Size
from ..media.planes import Plane, Planes

Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class BlendOp:
    """A change to a rectangle of an image: ``(sample * keep + add) / one`` for each sample.

    Computed in integers of twice the samples' width (`blend_dtype`); ``one`` is 256 for 8-bit images and 65,536 for
    10-bit ones. Without attribution, ``keep`` is ``one``, and the sample stays unchanged.

    Attributes:
        luma_keep, luma_add: one value a pixel, ``(2h, 2w)``, or one for each 2×2 block, ``(h, w)``.
        chroma_keep, blue_add, red_add: one value a chroma sample, ``(h, w)``.
    """

    luma_keep: Plane
    luma_add: Plane
    chroma_keep: Plane
    blue_add: Plane
    red_add: Plane


def blend_dtype(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], int]:
    """Return the type for blending samples, and its value of 1."""
    return np.dtype(f"u{2 * dtype.itemsize}"), int(2 ** (8 * dtype.itemsize))


def padded_rows(count: int, size: int, dtype: np.dtype[Any]) -> Plane:
    """Return an empty array with lines padded for fast writes.

    Its shape is ``(count, at least size)``.

    Lines that lie a multiple of 4096 bytes apart, or nearly half of one, compete for the same cache sets.
    """
    return np.empty((count, -(-size // 4096) * 4096 + 288), dtype)


def blend_coefficients(dtype: np.dtype[Any], opacity: Floats, color: Floats | np.float32) -> tuple[Plane, Plane]:
    """Return ``keep`` and ``add`` that blend a color over an image.

    Half of one is added too: so the result is rounded to the nearest, and only once. Rounding twice would draw
    faint contours where image and attribution are smooth.

    Args:
        dtype: type of the image's samples.
        opacity: 0–1.
        color: code values; ``add`` has the shape of both together.
    """
    wide_dtype, one = blend_dtype(dtype)
    covered = np.rint(opacity * one)
    return (one - covered).astype(wide_dtype), np.rint(color * covered + one // 2).astype(wide_dtype)


class PlaneBlender:
    """Blends into images of one size.

    Not thread-safe: it reuses its arrays.

    Args:
        dtype: type of the images' samples.
        size: ``(width, height)`` of the images.
    """

    def __init__(self, dtype: np.dtype[Any], size: Size) -> None:
        self._bits = 8 * dtype.itemsize
        self._scratch = padded_rows(2, size[0] * size[1], blend_dtype(dtype)[0])

    def apply(self, blend_op: BlendOp, planes: Planes, top: int, left: int) -> None:
        """Blend with the upper left corner at chroma sample ``(top, left)``."""
        height, width = blend_op.chroma_keep.shape
        luma, blue, red = planes
        block = luma[2 * top : 2 * (top + height), 2 * left : 2 * (left + width)]
        if blend_op.luma_keep.shape == blend_op.chroma_keep.shape:
            self._blend_pairs(block[0::2], blend_op.luma_keep, blend_op.luma_add)
            self._blend_pairs(block[1::2], blend_op.luma_keep, blend_op.luma_add)
        else:
            self._blend_samples(block, blend_op.luma_keep, blend_op.luma_add)
        area = np.s_[top : top + height, left : left + width]
        self._blend_samples(blue[area], blend_op.chroma_keep, blend_op.blue_add)
        self._blend_samples(red[area], blend_op.chroma_keep, blend_op.red_add)

    def _blend_samples(self, plane: Plane, keep: Plane, add: Plane) -> None:
        work = self._scratch[0, : keep.size].reshape(keep.shape)
        np.copyto(work, plane)
        work *= keep
        work += add
        work >>= self._bits
        np.copyto(plane, work, casting="unsafe")

    def _blend_pairs(self, plane: Plane, keep: Plane, add: Plane) -> None:
        """Blend pairs of neighbours in a line, which share ``keep`` and ``add``.

        A pair is one word of twice the width.
        """
        pairs = plane.view(keep.dtype)
        low, high = (line[: keep.size].reshape(keep.shape) for line in self._scratch)
        mask = 2**self._bits - 1
        np.bitwise_and(pairs, mask, out=low)
        low *= keep
        low += add
        low >>= self._bits
        np.right_shift(pairs, self._bits, out=high)
        high *= keep
        high += add
        high &= mask << self._bits
        np.bitwise_or(high, low, out=pairs)
