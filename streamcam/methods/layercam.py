"""LayerCAM: Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP 2021.

L = ReLU(Σ_k ReLU(∂y/∂A_k) ⊙ A_k)
"""

from __future__ import annotations

from ..models.backend import tf
from .traced import Tensor, Traced


def layercam(traced: Traced) -> Tensor:
    """Maps float32 ``(N, h, w)``, ≥ 0, in units of logits."""
    return tf.nn.relu(tf.reduce_sum(tf.nn.relu(traced.gradient()) * traced.activations, axis=3))
