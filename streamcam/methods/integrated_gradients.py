"""Integrated gradients.

Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017,
arXiv:1703.01365.

    L = Σ_c (x − x′)_c ⊙ 1/n Σ_i ∂y/∂x (x′ + (i + ½)/n · (x − x′))

``x′`` is a black image (the lowest value of the model input), or ``baseline`` in units of the model input. The map
should sum to ``y(x) − y(x′)``. The completeness gap is the error of that sum, relative to the larger of that difference
and 1.
"""

from __future__ import annotations

import math

from ..tf import tf
from .context import Maps, MethodContext, MultiPass, Tensor, check_range


def integrated_gradients(context: MethodContext, *, steps: int = 50, baseline: float | None = None) -> MultiPass:
    """Return maps float32 ``(N, H, W)``, of either sign, in logits."""
    check_range("integrated-gradients", "steps", steps, 1)
    check_range("integrated-gradients", "baseline", baseline or 0.0, -math.inf)
    start = context.blank(0) if baseline is None else tf.fill((1, *context.input.shape[1:]), float(baseline))
    difference = context.score - context.score_of(start)

    def maps(state: tuple[Tensor, ...], target_state: tuple[Tensor, ...], gradient: Tensor) -> Maps:
        attribution = tf.reduce_sum((state[0] - state[1]) * gradient, axis=3)
        gap = tf.abs(tf.reduce_sum(attribution, axis=(1, 2)) - target_state[0])
        return Maps(attribution, {"completeness gap": gap / tf.maximum(tf.abs(target_state[0]), 1.0)})

    return MultiPass(
        count=steps,
        shared_state=(context.input, tf.repeat(start, tf.shape(context.input)[0], axis=0)),
        perturb=lambda state, step: (
            state[1] + ((tf.cast(step, tf.float32) + 0.5) / steps)[:, None, None, None] * (state[0] - state[1])
        ),
        measure=lambda interpolated: interpolated.input_gradient(),
        reduce="mean",
        per_target_state=(difference,),
        maps=maps,
    )
