"""Occlusion sensitivity: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
arXiv:1311.2901.

    L(p) = mean over the patches that cover p of  y(x) − y(x with the patch filled)

Above zero where the class loses by the occlusion. Patches of ``patch`` pixels lie ``stride`` apart from the upper left
corner on; what hangs over an edge is cut off. They are filled with mid-grey, or with ``fill`` in units of the model's
input. One pass a patch, and one for the picture itself: so that both scores come out of the same arithmetic.

The map has the finest cells that no patch's edge divides.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import MethodError
from ..models.backend import tf
from .traced import Steps, Tensor, Traced, within

_PATCHES_ACROSS = 7
_STEP = 16
"""Patches of about a seventh of the shorter side, as wide as a cell of the last grid in most networks. Multiples of 16
divide the inputs of these, so that patches end where cells do."""


def occlusion(traced: Traced, *, patch: int = 0, stride: int = 0, fill: float | None = None) -> Steps:
    """Maps float32 ``(N, h, w)``, of either sign, in logits.

    Args:
        traced: the pass.
        patch: side of a patch in pixels of the model's input; 0 is about a seventh of the shorter side.
        stride: pixels from patch to patch; 0 is half a patch.
        fill: value of a filled patch; None is mid-grey.
    """
    within("occlusion", "fill", fill or 0.0, -math.inf)
    height, width = traced.input.shape[1:3]
    side = patch or _usual(min(height, width))
    by = stride or max(1, side // 2)
    if by < 0 or side < 0 or by > side or side > min(height, width):
        raise MethodError(
            f"occlusion with patch={side} stride={by} is not possible",
            wanted=f"0 < stride <= patch <= {min(height, width)}, so that every pixel is covered",
        )
    cell = math.gcd(side, by, height, width)
    rows, columns = _covering(height, side, by, cell), _covering(width, side, by, cell)
    count = len(rows) * len(columns)
    filled = traced.blank(127.5) if fill is None else tf.fill((1, height, width, 3), float(fill))

    def perturb(state: tuple[Tensor, ...], step: Tensor) -> Tensor:
        pictures, filling = state
        top, left = step // len(columns) * by, step % len(columns) * by
        inside = _within(height, top, side)[:, :, None] & _within(width, left, side)[:, None, :]
        inside &= (step < count)[:, None, None]
        return tf.where(inside[..., None], filling, pictures)

    def maps(state: tuple[Tensor, ...], own: tuple[Tensor, ...], scores: Tensor) -> Tensor:
        lost = tf.reshape(scores[:, count:] - scores[:, :count], (-1, len(rows), len(columns)))
        covered = rows.sum(axis=0)[:, None] * columns.sum(axis=0)[None, :]
        return tf.einsum("nij,ih,jw->nhw", lost, rows, columns) / covered

    return Steps(
        count=count + 1,
        state=(traced.input, tf.repeat(filled, tf.shape(traced.input)[0], axis=0)),
        perturb=perturb,
        read=lambda occluded: occluded.score,
        reduce="stack",
        maps=maps,
    )


def _usual(length: int) -> int:
    side = length / _PATCHES_ACROSS
    return round(side / _STEP) * _STEP if side >= _STEP else max(1, int(side))


def _covering(length: int, side: int, by: int, cell: int) -> NDArray[np.float32]:
    """Which cells each patch covers along an axis: 0 or 1, ``(patches, cells)``."""
    starts = np.arange(-(-(length - side) // by) + 1) * by
    centres = (np.arange(length // cell) + 0.5) * cell
    return ((centres >= starts[:, None]) & (centres < starts[:, None] + side)).astype(np.float32)


def _within(length: int, start: Tensor, side: int) -> Tensor:
    place = tf.range(length)[None, :]
    return (place >= start[:, None]) & (place < start[:, None] + side)
