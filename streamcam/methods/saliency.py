"""Vanilla gradient.

Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks: Visualising Image Classification
Models and Saliency Maps", ICLR Workshop 2014, arXiv:1312.6034.

    L = max_c |∂y/∂x_c|
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, Tensor


def saliency(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, H, W)``, ≥ 0, in logits per input unit."""
    return tf.reduce_max(tf.abs(context.input_gradient()), axis=3)
