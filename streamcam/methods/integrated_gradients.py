"""Integrated gradients: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017,
arXiv:1703.01365.

    L = Σ_c (x − x′)_c ⊙ 1/n Σ_i ∂y/∂x (x′ + (i + ½)/n · (x − x′))

``x′`` is a black picture (the lowest value of the model's input), or ``baseline`` in units of the model's input. The
sum over the map should be ``y(x) − y(x′)``; by how much it is not is told as the completeness gap, a part of the
larger of that difference and 1.
"""

from __future__ import annotations

import math

from ..models.backend import tf
from .traced import Maps, Steps, Tensor, Traced, within


def integrated_gradients(traced: Traced, *, steps: int = 50, baseline: float | None = None) -> Steps:
    """Maps float32 ``(N, H, W)``, of either sign, in logits."""
    within("integrated-gradients", "steps", steps, 1)
    within("integrated-gradients", "baseline", baseline or 0.0, -math.inf)
    start = traced.blank(0) if baseline is None else tf.fill((1, *traced.input.shape[1:]), float(baseline))
    difference = traced.score - traced.score_of(start)

    def maps(state: tuple[Tensor, ...], own: tuple[Tensor, ...], gradient: Tensor) -> Maps:
        attributed = tf.reduce_sum((state[0] - state[1]) * gradient, axis=3)
        gap = tf.abs(tf.reduce_sum(attributed, axis=(1, 2)) - own[0])
        return Maps(attributed, {"completeness gap": gap / tf.maximum(tf.abs(own[0]), 1.0)})

    return Steps(
        count=steps,
        state=(traced.input, tf.repeat(start, tf.shape(traced.input)[0], axis=0)),
        perturb=lambda state, step: (
            state[1] + ((tf.cast(step, tf.float32) + 0.5) / steps)[:, None, None, None] * (state[0] - state[1])
        ),
        read=lambda between: between.input_gradient(),
        reduce="mean",
        own=(difference,),
        maps=maps,
    )
