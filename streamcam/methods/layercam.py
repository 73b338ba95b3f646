"""LayerCAM.

Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP 2021.

L = ReLU(Σ_k ReLU(∂y/∂A_k) ⊙ A_k)
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def layercam(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, h, w)``, ≥ 0, in units of logits."""
    return tf.nn.relu(tf.reduce_sum(tf.nn.relu(context.gradient()) * context.activations, axis=3))
