"""Pictures as arrays, one a plane, and paint on them.

A plane is ``uint8`` or, for 10-bit pictures, ``uint16 (height, width)``: a view of the picture's own
memory without its padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frames import Plane, Planes
from ..geometry import Size

Floats: TypeAlias = NDArray[np.float64]


def next_even(length: int) -> int:
    """The next even number."""
    return length + length % 2


def copy_into(target: Planes, source: Planes, top: int = 0, left: int = 0) -> None:
    """Copies a picture to line ``top`` and column ``left``, both even, of a larger one of even sides.

    The last line and column of an odd picture are repeated, so that each chroma sample keeps its four pixels.
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


@dataclass(frozen=True, slots=True, eq=False)
class BlendOp:
    """What is to be done to a rectangle of a picture: ``(sample * keep + add) / one`` for each sample.

    Reckoned in integers of twice the samples' width (`blend_dtype`), ``one`` being 256 for 8-bit pictures and
    65,536 for 10-bit ones. Where nothing is painted, ``keep`` is ``one``, and the sample stays as it is.

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
    """The type in which samples of another are reckoned, and what is 1 in it."""
    return np.dtype(f"u{2 * dtype.itemsize}"), int(2 ** (8 * dtype.itemsize))


def padded_rows(count: int, size: int, dtype: np.dtype[Any]) -> Plane:
    """An empty array ``(count, at least size)`` whose lines can be written side by side at full speed.

    Lines that lie a multiple of 4096 bytes apart, or nearly half of one, compete for the same cache sets.
    """
    return np.empty((count, -(-size // 4096) * 4096 + 288), dtype)


def blend_coefficients(dtype: np.dtype[Any], opacity: Floats, color: Floats) -> tuple[Plane, Plane]:
    """``keep`` and ``add`` that lay a colour over a picture.

    Half of one is added too: so the result is rounded to the nearest, and only once. Rounding twice would draw
    faint contours where picture and evidence are smooth.

    Args:
        dtype: type of the picture's samples.
        opacity: 0–1.
        color: code values; ``add`` has its shape.
    """
    wide_dtype, one = blend_dtype(dtype)
    covered = np.rint(opacity * one)
    return (one - covered).astype(wide_dtype), np.rint(color * covered + one // 2).astype(wide_dtype)


class PlaneBlender:
    """Paints on pictures of one size. Not thread-safe: it reckons in arrays that it keeps.

    Args:
        dtype: type of the pictures' samples.
        size: ``(width, height)`` of the pictures.
    """

    def __init__(self, dtype: np.dtype[Any], size: Size) -> None:
        self._bits = 8 * dtype.itemsize
        self._scratch = padded_rows(2, size[0] * size[1], blend_dtype(dtype)[0])

    def apply(self, blend_op: BlendOp, planes: Planes, top: int, left: int) -> None:
        """Paints with the upper left corner at chroma sample ``(top, left)``."""
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
        """Two neighbours in a line share ``keep`` and ``add``; together they are one word of twice the width."""
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
