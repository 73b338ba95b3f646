"""Guided backpropagation: Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR Workshop
2015, arXiv:1412.6806.

    at every ReLU:  R_below = R_above · 1[R_above > 0] · f'(x)          f'(x) = 1[x > 0]
    L = max_c |R_input,c|

Only what would raise the logit goes down through a unit that was active. ``f'`` is the unit's own derivative: a capped
ReLU also closes above its cap, and a leaky one lets its slope through below zero. Gates that are made of a ReLU (hard
sigmoid) are no ReLUs and stay as they are.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def guided_backprop(context: MethodContext) -> Tensor:
    """Maps float32 ``(N, H, W)``, ≥ 0.

    Raises:
        MethodError: the model has no ReLU to guide; says which activation it has.
    """
    return tf.reduce_max(tf.abs(context.guided_gradient()), axis=3)
