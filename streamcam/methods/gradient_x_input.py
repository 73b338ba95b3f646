"""Gradient × input.

Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating Activation
Differences", 2016, arXiv:1605.01713.

    L = Σ_c x_c ⊙ ∂y/∂x_c

In a ReLU network without biases the map sums to the logit.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def gradient_x_input(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, H, W)``, of either sign, in logits."""
    return tf.reduce_sum(context.input * context.input_gradient(), axis=3)
