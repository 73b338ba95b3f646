"""Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, arXiv:1610.02391.

    α_k = 1/Z · Σ_ij ∂y/∂A_ijk          Z = h · w
    L   = ReLU(Σ_k α_k A_k)

``y`` is the pre-softmax logit of the target class and ``A`` the output of the target layer. The ReLU is applied
before upsampling.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def gradcam(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, h, w)``, ≥ 0, in units of logits."""
    weights = tf.reduce_mean(context.gradient(), axis=(1, 2))
    return tf.nn.relu(tf.reduce_sum(context.activations * weights[:, None, None], axis=3))
