"""Grad-CAM++.

Chattopadhay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks",
WACV 2018, arXiv:1710.11063.

    α_ijk = g_ijk² / (2 g_ijk² + g_ijk³ · Σ_ab A_abk)      0 where the denominator is 0
    w_k   = Σ_ij α_ijk · ReLU(g_ijk)                        g = ∂y/∂A
    L     = ReLU(Σ_k w_k A_k)

The paper explains ``exp(y)``, whose derivatives are those of ``y`` times ``exp(y)``: the factor cancels in α and
scales a frame's map as a whole. It is omitted, because it overflows. As in the paper, α is not normalised to sum to 1.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def gradcam_plus_plus(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, h, w)``, ≥ 0."""
    gradient = context.gradient()
    activations = context.activations
    total = tf.reduce_sum(activations, axis=(1, 2), keepdims=True)
    # g² / (2 g² + g³ S) = 1 / (2 + g S) for g ≠ 0; g³ would underflow.
    denominator = 2.0 + gradient * total
    alpha = tf.where(tf.equal(gradient, 0.0), 0.0, tf.math.divide_no_nan(tf.ones_like(gradient), denominator))
    weights = tf.reduce_sum(alpha * tf.nn.relu(gradient), axis=(1, 2))
    return tf.nn.relu(tf.reduce_sum(activations * weights[:, None, None], axis=3))
