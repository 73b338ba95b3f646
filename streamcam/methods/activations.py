"""Activation maps: what the target layer answers, whatever the class.

L = 1/K Σ_k A_k          or  A_filter
"""

from __future__ import annotations

from ..errors import MethodError
from ..models.backend import tf
from .traced import Tensor, Traced


def activations(traced: Traced, *, filter: int | None = None) -> Tensor:  # noqa: A002
    """Maps float32 ``(N, h, w)``, in units of activations.

    Args:
        traced: the pass.
        filter: one channel of the layer, from 0 on; None is the mean of them all.

    Raises:
        MethodError: the layer has no such channel.
    """
    if filter is None:
        return tf.reduce_mean(traced.activations, axis=3)
    channels = traced.activations.shape[3]
    if not 0 <= filter < channels:
        raise MethodError(f"the target layer has no filter {filter}", wanted=f"0 to {channels - 1}")
    return traced.activations[..., filter]
