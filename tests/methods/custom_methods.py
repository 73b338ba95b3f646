"""Methods as a user writes them."""

from __future__ import annotations

from typing import Any

from streamcam.methods import Maps, MethodContext, MultiPass
from streamcam.tf import tf


def custom_method(context: MethodContext, *, scale: float = 1.0) -> Any:
    return scale * tf.reduce_sum(context.activations, axis=3)


def custom_maps(context: MethodContext) -> Maps:
    return Maps(
        tf.reduce_sum(context.activations, axis=3), {"mean": tf.reduce_mean(context.activations, axis=(1, 2, 3))}
    )


def custom_steps(context: MethodContext, *, steps: int = 2) -> MultiPass:
    return MultiPass(
        count=steps,
        shared_state=(context.input,),
        perturb=lambda state, step: state[0] * (1.0 + tf.cast(step, tf.float32))[:, None, None, None],
        measure=lambda seen: tf.reduce_sum(seen.activations, axis=3),
        reduce="mean",
        maps=lambda state, own, values: values,
    )


custom_steps.map_kind = "signed"  # type: ignore[attr-defined]
