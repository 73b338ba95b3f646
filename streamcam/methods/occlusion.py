"""Occlusion sensitivity.

Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
arXiv:1311.2901.

    L(p) = mean over the patches that cover p of  y(x) − y(x with the patch filled)

Positive where the occlusion lowers the score. Patches of ``patch`` pixels lie ``stride`` pixels apart, from the upper
left corner on, clipped at the edges. They are filled with mid-grey, or with ``fill`` in units of the model input. One
pass per patch, and one for the unchanged image, so that both scores come from the same arithmetic.

The map has the coarsest resolution at which every patch edge is the edge of a position.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import MethodError
from ..tf import tf
from .context import MethodContext, MultiPass, Tensor, check_range

_PATCHES_ACROSS = 7
_PATCH_MULTIPLE = 16
"""Patches of about a seventh of the shorter side: one position of the last feature map in most networks. A multiple of
16 divides their input size, so that patches and positions share their edges."""


def occlusion(context: MethodContext, *, patch: int = 0, stride: int = 0, fill: float | None = None) -> MultiPass:
    """Return maps float32 ``(N, h, w)``, of either sign, in logits.

    Args:
        context: the forward pass.
        patch: side of a patch in pixels of the model input; 0 is about a seventh of the shorter side.
        stride: distance between patches in pixels; 0 is half a patch.
        fill: value of a filled patch; None is mid-grey.
    """
    check_range("occlusion", "fill", fill or 0.0, -math.inf)
    height, width = context.input.shape[1:3]
    side = patch or _default_patch(min(height, width))
    patch_stride = stride or max(1, side // 2)
    if patch_stride < 0 or side < 0 or patch_stride > side or side > min(height, width):
        raise MethodError(
            f"invalid occlusion patch={side} stride={patch_stride}",
            expected=f"0 < stride <= patch <= {min(height, width)}, so that every pixel is covered",
        )
    map_stride = math.gcd(side, patch_stride, height, width)
    rows, columns = (
        _patch_coverage(height, side, patch_stride, map_stride),
        _patch_coverage(width, side, patch_stride, map_stride),
    )
    count = len(rows) * len(columns)
    filled = context.blank(127.5) if fill is None else tf.fill((1, height, width, 3), float(fill))

    def perturb(state: tuple[Tensor, ...], step: Tensor) -> Tensor:
        images, filling = state
        top, left = step // len(columns) * patch_stride, step % len(columns) * patch_stride
        inside = _patch_mask(height, top, side)[:, :, None] & _patch_mask(width, left, side)[:, None, :]
        inside &= (step < count)[:, None, None]
        return tf.where(inside[..., None], filling, images)

    def maps(state: tuple[Tensor, ...], target_state: tuple[Tensor, ...], scores: Tensor) -> Tensor:
        lost = tf.reshape(scores[:, count:] - scores[:, :count], (-1, len(rows), len(columns)))
        covered = rows.sum(axis=0)[:, None] * columns.sum(axis=0)[None, :]
        return tf.einsum("nij,ih,jw->nhw", lost, rows, columns) / covered

    return MultiPass(
        count=count + 1,
        shared_state=(context.input, tf.repeat(filled, tf.shape(context.input)[0], axis=0)),
        perturb=perturb,
        measure=lambda occluded: occluded.score,
        reduce="stack",
        maps=maps,
    )


def _default_patch(length: int) -> int:
    side = length / _PATCHES_ACROSS
    return round(side / _PATCH_MULTIPLE) * _PATCH_MULTIPLE if side >= _PATCH_MULTIPLE else max(1, int(side))


def _patch_coverage(length: int, side: int, stride: int, map_stride: int) -> NDArray[np.float32]:
    """Return the positions that each patch covers along an axis: 0 or 1, float32 ``(patches, positions)``."""
    starts = np.arange(-(-(length - side) // stride) + 1) * stride
    centres = (np.arange(length // map_stride) + 0.5) * map_stride
    return ((centres >= starts[:, None]) & (centres < starts[:, None] + side)).astype(np.float32)


def _patch_mask(length: int, start: Tensor, side: int) -> Tensor:
    position = tf.range(length)[None, :]
    return (position >= start[:, None]) & (position < start[:, None] + side)
