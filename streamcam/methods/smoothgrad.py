"""SmoothGrad: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, arXiv:1706.03825.

    L = max_c |1/n Σ_i ∂y/∂x (x + ε_i)|          ε_i ~ N(0, σ²),  σ = noise · (max x − min x)

The noise of pass ``i`` is the same for every frame and in every run, so maps can be compared and do not depend on their
neighbours.
"""

from __future__ import annotations

from ..models.backend import tf
from .traced import Steps, Tensor, Traced, within

_SEED = 0x5EED


def smoothgrad(traced: Traced, *, steps: int = 50, noise: float = 0.15) -> Steps:
    """Maps float32 ``(N, H, W)``, ≥ 0, in logits per unit of the model's input."""
    within("smoothgrad", "steps", steps, 1)
    within("smoothgrad", "noise", noise, 0)

    def perturb(state: tuple[Tensor, ...], step: Tensor) -> Tensor:
        (pictures,) = state
        span = tf.reduce_max(pictures, axis=(1, 2, 3), keepdims=True) - tf.reduce_min(
            pictures, axis=(1, 2, 3), keepdims=True
        )
        rows = [tf.random.stateless_normal(pictures.shape[1:], [_SEED, number]) for number in tf.unstack(step)]
        return pictures + noise * span * tf.stack(rows)

    return Steps(
        count=steps,
        state=(traced.input,),
        perturb=perturb,
        read=lambda noisy: noisy.input_gradient(),
        reduce="mean",
        maps=lambda state, own, gradient: tf.reduce_max(tf.abs(gradient), axis=3),
    )
