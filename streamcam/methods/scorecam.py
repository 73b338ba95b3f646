"""Score-CAM.

Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
CVPR Workshops 2020, arXiv:1910.01279.

    H_k = minmax(up(A_k))
    α   = softmax_k(y(x ⊙ H_k))          the paper's baseline is the same for all k and cancels in the softmax
    L   = ReLU(Σ_k α_k A_k)

``x`` is the preprocessed model input, so that a mask of 0 gives an input of zeros. One pass per channel: ``channels``
is the number of channels used, those with the largest mean activation of each frame; 0 uses all. A constant channel has
no mask (minmax is 0/0): its pass gets an input of zeros.
"""

from __future__ import annotations

from typing import Any

from ..geometry import Geometry
from ..tf import tf
from .context import MethodContext, MultiPass, Tensor, check_range


def scorecam(context: MethodContext, *, channels: int = 64) -> MultiPass:
    """Return maps float32 ``(N, h, w)``, ≥ 0, in units of activations."""
    check_range("scorecam", "channels", channels, 0)
    activations = context.activations
    total = activations.shape[3]
    count = min(channels or total, total)
    if count < total:
        order = tf.math.top_k(tf.reduce_mean(activations, axis=(1, 2)), k=count).indices
        activations = tf.gather(activations, order, axis=3, batch_dims=1)
    height, width = context.input.shape[1:3]
    rows, columns = _upsample_matrices((width, height), (activations.shape[2], activations.shape[1]))
    return MultiPass(
        count=count,
        shared_state=(context.input, tf.transpose(activations, (0, 3, 1, 2))),
        perturb=lambda state, step: state[0] * _mask(state[1], step, rows, columns)[..., None],
        measure=lambda masked: masked.score,
        reduce="stack",
        maps=lambda state, target_state, scores: tf.nn.relu(
            tf.einsum("nk,nkhw->nhw", tf.nn.softmax(scores, axis=1), state[1])
        ),
    )


def _mask(activations: Tensor, step: Tensor, rows: Any, columns: Any) -> Tensor:
    upsampled = tf.einsum("yh,mhw,xw->myx", rows, tf.gather(activations, step, axis=1, batch_dims=1), columns)
    low = tf.reduce_min(upsampled, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(upsampled, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(upsampled - low, high - low)


def _upsample_matrices(size: tuple[int, int], map_size: tuple[int, int]) -> tuple[Any, Any]:
    """Return the matrices of half-pixel bilinear interpolation, as used for every map."""
    return Geometry(size, size, size).upsample_matrices(map_size)
