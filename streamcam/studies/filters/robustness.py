"""Random transformations before each step: features that survive them are no noise of single pixels."""

from __future__ import annotations

from typing import Any

from ...options import FilterOptions
from ...tf import tf


def transform(images: Any, options: FilterOptions, step: Any, strength: Any = 1.0) -> Any:
    """Move, scale and rotate images about their centre, all alike; what leaves on one side enters on the other.

    Args:
        images: float32 ``(N, h, w, 3)``.
        options: the limits, and the seed.
        step: int32 scalar; another one gives another transformation.
        strength: of the limits that apply, float32 scalar: 0 leaves the images as they are.

    Returns:
        float32 ``(N, h, w, 3)``; differentiable.
    """
    if not (options.jitter or options.scale or options.rotation):
        return images
    draws = strength * tf.random.stateless_uniform((4,), tf.stack([options.seed, step]), -1.0, 1.0)
    height, width = images.shape[1], images.shape[2]
    shift_x, shift_y = draws[0] * options.jitter, draws[1] * options.jitter
    zoom = tf.exp(draws[2] * tf.math.log1p(float(options.scale)))
    angle = draws[3] * (options.rotation * 3.141592653589793 / 180)
    cosine, sine = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    left = center_x - cosine * center_x + sine * center_y + shift_x
    top = center_y - sine * center_x - cosine * center_y + shift_y
    projection = tf.stack([cosine, -sine, left, sine, cosine, top, 0.0, 0.0])[None]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.tile(projection, [images.shape[0], 1]),
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="WRAP",
        fill_value=0.0,
    )
