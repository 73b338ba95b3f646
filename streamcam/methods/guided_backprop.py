"""Guided backpropagation.

Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR Workshop
2015, arXiv:1412.6806.

    at every ReLU:  R_below = R_above · 1[R_above > 0] · f'(x)          f'(x) = 1[x > 0]
    L = R_input,c with the c of the largest |R_input,c|

Only positive gradients pass backwards through an active unit. ``f'`` is the unit's own derivative: 0 above the cap of a
capped ReLU, and the slope of a leaky one below zero. Gates made of a ReLU (hard sigmoid) keep their plain gradient.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def guided_backprop(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, H, W)``, of either sign.

    Raises:
        MethodError: the model has no ReLU to guide; the message names its activation.
    """
    gradient = context.guided_gradient()
    largest, smallest = tf.reduce_max(gradient, axis=3), tf.reduce_min(gradient, axis=3)
    return tf.where(largest >= -smallest, largest, smallest)
