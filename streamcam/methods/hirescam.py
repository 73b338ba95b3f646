"""HiResCAM.

Draelos, Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
networks", 2020, arXiv:2011.08891.

    L = Σ_k ∂y/∂A_k ⊙ A_k

With one dense layer after the target layer (flattened or averaged) the map sums to the logit without its bias.
Negative attributions are kept; only the overlay clips them at zero.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def hirescam(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, h, w)``, of either sign, in units of logits."""
    return tf.reduce_sum(context.gradient() * context.activations, axis=3)
