"""Bounds of what is made from any number ``x`` and a probability ``p``, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamcam.engine.graph.intervals import bounds_of
from streamcam.tf import tf

ANY = (-math.inf, math.inf)
POSITIVE = np.full((3, 2), 0.5, np.float32)
SIGNED = np.array([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]], np.float32)

EXPRESSIONS: dict[str, tuple[Callable[[Any, Any], Any], tuple[float, float]]] = {
    "any": (lambda x, p: x, ANY),
    "softmax": (lambda x, p: tf.nn.softmax(x), (0, 1)),
    "complement": (lambda x, p: 1 - p, (0, 1)),
    "both": (lambda x, p: tf.concat([1 - p, p], 1), (0, 1)),
    "mean of two": (lambda x, p: (p + p) / 2, (0, 1)),
    "weighted": (lambda x, p: 0.25 * p + 0.75 * p, (0, 1)),
    "product": (lambda x, p: p * tf.sigmoid(x), (0, 1)),
    "gated": (lambda x, p: p * x, ANY),
    "rescaled tanh": (lambda x, p: (tf.tanh(x) + 1) / 2, (0, 1)),
    "hard sigmoid": (lambda x, p: tf.nn.relu6(x + 3) / 6, (0, 1)),
    "clip": (lambda x, p: tf.clip_by_value(x, 0.125, 0.5), (0.125, 0.5)),
    "sum": (lambda x, p: tf.reduce_sum(p - 1, 1), (-3, 0)),
    "mean": (lambda x, p: tf.reduce_mean(p, 1), (0, 1)),
    "chosen": (lambda x, p: tf.where(x > 0, p, -p), (-1, 1)),
    "threshold": (lambda x, p: tf.cast(x > 0, tf.float32), (0, 1)),
    "logarithm and back": (lambda x, p: tf.exp(tf.math.log(p)), (0, 1)),
    "sigmoid by hand": (lambda x, p: 1 / (1 + tf.exp(-x)), (0, 1)),
    "stacked": (lambda x, p: tf.unstack(tf.stack([p, 2 * p], 1), axis=1)[1], (0, 2)),
    "divided by what may be negative": (lambda x, p: p / x, ANY),
    "a dense layer": (lambda x, p: tf.nn.bias_add(p @ SIGNED, [0.0, 0.0]), ANY),
    "a dense layer of positive weights": (lambda x, p: tf.nn.bias_add(p @ POSITIVE, [0.0, 0.0]), (0, 1.5)),
    "einsum": (lambda x, p: tf.einsum("ij->i", p), (0, math.inf)),
    "not known": (lambda x, p: tf.sin(p), ANY),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_bounds(name: str) -> None:
    make, expected = EXPRESSIONS[name]
    found: list[tuple[float, float]] = []

    @tf.function(autograph=False)
    def forward(x: Any) -> Any:
        made = make(x, tf.sigmoid(2 * x))
        found.append(bounds_of(made))
        return made

    values = forward(tf.constant(np.random.default_rng(0).normal(0, 5, (500, 3)).astype(np.float32))).numpy()
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-6)
    assert values.min() >= expected[0] - 1e-6
    assert values.max() <= expected[1] + 1e-6
