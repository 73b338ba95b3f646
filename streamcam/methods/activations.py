"""Activation maps: the output of the target layer, independent of the class.

L = 1/K Σ_k A_k          or  A_filter
"""

from __future__ import annotations

from ..errors import MethodError
from ..tf import tf
from .context import MethodContext, Tensor


def activations(context: MethodContext, *, filter: int | None = None) -> Tensor:  # noqa: A002
    """Return maps float32 ``(N, h, w)``, in units of activations.

    Args:
        context: the forward pass.
        filter: index of a channel of the layer; None averages all channels.

    Raises:
        MethodError: the layer has no such channel.
    """
    if filter is None:
        return tf.reduce_mean(context.activations, axis=3)
    channels = context.activations.shape[3]
    if not 0 <= filter < channels:
        raise MethodError(f"invalid activations filter={filter}", expected=f"0 to {channels - 1}")
    return context.activations[..., filter]
