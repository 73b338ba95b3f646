"""Errors of tracing: a missing gradient is told from lookups that fail in the model."""

from __future__ import annotations

from typing import Any

import pytest

from streamcam.engine.graph.tracing import trace
from streamcam.errors import MethodError, ModelError
from streamcam.tf import tf

IMAGES = tf.TensorSpec((1, 8, 8, 3), tf.float32)


def test_an_operation_without_a_gradient_is_named() -> None:
    def gradient(images: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            turned = tf.raw_ops.AdjustHue(images=images, delta=0.1)
        return tape.gradient(turned, images)

    with pytest.raises(MethodError, match=r"not differentiable: .*AdjustHue"):
        trace(gradient, (8, 8), IMAGES)


@pytest.mark.parametrize(("lookup", "message"), [(lambda: {}["depth"], "depth"), (lambda: [][2], "out of range")])
def test_a_lookup_that_fails_in_the_model_keeps_its_message(lookup: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        trace(lambda images: images * lookup(), (8, 8), IMAGES)
