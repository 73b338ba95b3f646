"""HiResCAM: Draelos, Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
networks", 2020, arXiv:2011.08891.

    L = Σ_k ∂y/∂A_k ⊙ A_k

With one dense layer behind the target layer (flattened or averaged) the map sums to the logit without its bias. It
is kept as it is, negative evidence too; only what is drawn begins at zero.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def hirescam(context: MethodContext) -> Tensor:
    """Maps float32 ``(N, h, w)``, of either sign, in units of logits."""
    return tf.reduce_sum(context.gradient() * context.activations, axis=3)
