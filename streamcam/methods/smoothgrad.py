"""SmoothGrad.

Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, arXiv:1706.03825.

    L = max_c |1/n Σ_i ∂y/∂x (x + ε_i)|          ε_i ~ N(0, σ²),  σ = noise · (max x − min x)

The noise of pass ``i`` is the same for every frame and every run: maps are reproducible and comparable, and do not
depend on the batch.
"""

from __future__ import annotations

from ..tf import tf
from .context import MethodContext, MultiPass, Tensor, check_range

_SEED = 0x5EED


def smoothgrad(context: MethodContext, *, steps: int = 50, noise: float = 0.15) -> MultiPass:
    """Return maps float32 ``(N, H, W)``, ≥ 0, in logits per input unit."""
    check_range("smoothgrad", "steps", steps, 1)
    check_range("smoothgrad", "noise", noise, 0)

    def perturb(state: tuple[Tensor, ...], step: Tensor) -> Tensor:
        (images,) = state
        span = tf.reduce_max(images, axis=(1, 2, 3), keepdims=True) - tf.reduce_min(
            images, axis=(1, 2, 3), keepdims=True
        )
        rows = [tf.random.stateless_normal(images.shape[1:], [_SEED, number]) for number in tf.unstack(step)]
        return images + noise * span * tf.stack(rows)

    return MultiPass(
        count=steps,
        shared_state=(context.input,),
        perturb=perturb,
        measure=lambda noisy: noisy.input_gradient(),
        reduce="mean",
        maps=lambda state, target_state, gradient: tf.reduce_max(tf.abs(gradient), axis=3),
    )
