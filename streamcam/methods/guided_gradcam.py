"""Guided Grad-CAM.

Selvaraju et al., section 3.2 of the paper of `gradcam`.

L = |guided backpropagation| ⊙ up(Grad-CAM)        up: half-pixel bilinear
"""

from __future__ import annotations

from ..geometry import Geometry
from ..tf import tf
from .context import MethodContext, Tensor
from .gradcam import gradcam
from .guided_backprop import guided_backprop


def guided_gradcam(context: MethodContext) -> Tensor:
    """Return maps float32 ``(N, H, W)``, ≥ 0.

    Raises:
        MethodError: the model has no ReLU to guide; the message names its activation.
    """
    coarse = gradcam(context)
    size = (context.input.shape[2], context.input.shape[1])
    rows, columns = Geometry(size, size, size).upsample_matrices((coarse.shape[2], coarse.shape[1]))
    return tf.abs(guided_backprop(context)) * tf.einsum("yh,nhw,xw->nyx", rows, coarse, columns)
