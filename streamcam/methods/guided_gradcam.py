"""Guided Grad-CAM: Selvaraju et al., as `gradcam`, section 3.2.

L = guided backpropagation ⊙ up(Grad-CAM)          up: half-pixel bilinear
"""

from __future__ import annotations

from ..geometry import Geometry
from ..models.backend import tf
from .gradcam import gradcam
from .guided_backprop import guided_backprop
from .traced import Tensor, Traced


def guided_gradcam(traced: Traced) -> Tensor:
    """Maps float32 ``(N, H, W)``, ≥ 0.

    Raises:
        MethodError: the model has no ReLU to guide; says which activation it has.
    """
    coarse = gradcam(traced)
    size = (traced.input.shape[2], traced.input.shape[1])
    rows, columns = Geometry(size, size, size).undo((coarse.shape[2], coarse.shape[1]))
    return guided_backprop(traced) * tf.einsum("yh,nhw,xw->nyx", rows, coarse, columns)
