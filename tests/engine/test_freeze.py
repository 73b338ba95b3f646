"""Folding batch norm must change the graph and not the numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from streamcam.engine.freeze import fold_batch_norm, freeze
from streamcam.models.backend import keras, tf

from . import models
from .models import HEIGHT, WIDTH
from .test_kernel import pictures

SPECIFICATION = tf.TensorSpec((2, HEIGHT, WIDTH, 3), tf.uint8)


def traced(function: Any) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(SPECIFICATION)


def operations(function: Any) -> Counter[str]:
    """What is left once everything that no output needs is gone."""
    pruned = tf.compat.v1.graph_util.extract_sub_graph(
        function.graph.as_graph_def(), [tensor.op.name for tensor in function.outputs]
    )
    return Counter(node.op for node in pruned.node)


@pytest.mark.parametrize("build", [models.functional, models.nested, models.subclassed])
def test_the_numbers_stay(build: Any) -> None:
    model = build()
    function = traced(lambda images: [model(tf.cast(images, tf.float32) / 255, training=False)])
    images = pictures(2)
    expected = function(tf.constant(images))[0].numpy()
    np.testing.assert_allclose(freeze(function)(tf.constant(images))[0].numpy(), expected, atol=1e-6)


def test_every_batch_norm_goes_into_its_convolution() -> None:
    model = models.functional()
    frozen = freeze(traced(lambda images: [model(tf.cast(images, tf.float32), training=False)]))
    found = operations(frozen)
    assert found["Conv2D"] == 3
    assert found["DepthwiseConv2dNative"] == 1
    assert found["BiasAdd"] == 4 + 1  # one a convolution, one of the dense layer
    assert found["Rsqrt"] == 0
    assert found["Mul"] == 0


def test_a_tensor_that_somebody_reads_keeps_its_value() -> None:
    """A target layer between a convolution and its batch norm."""
    model = models.functional()
    both = keras.Model(model.inputs, [model.get_layer("linear").output, model.output])
    function = traced(lambda images: list(both(tf.cast(images, tf.float32) / 255, training=False)))
    images = tf.constant(pictures(2))
    expected = [output.numpy() for output in function(images)]
    frozen = freeze(function)
    assert operations(frozen)["Rsqrt"] == 1  # the batch norm behind `linear` stays
    for got, wanted in zip(frozen(images), expected, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, atol=1e-5)


def test_gradients_through_a_batch_norm_stay() -> None:
    model = models.functional()
    inner = keras.Model(model.inputs, [model.get_layer("linear").output, model.output])

    def gradient(images: Any) -> list[Any]:
        grid, output = inner(tf.cast(images, tf.float32) / 255, training=False)
        return [tf.gradients(tf.reduce_sum(tf.math.log(output[:, 1])), grid)[0]]

    function = traced(gradient)
    images = tf.constant(pictures(2))
    expected = function(images)[0].numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(freeze(function)(images)[0].numpy(), expected, atol=1e-7, rtol=1e-3)


def test_a_constant_that_differs_from_place_to_place_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    kernel = tf.constant(rng.normal(size=(3, 3, 3, 4)), tf.float32)
    mask = tf.constant(rng.normal(size=(HEIGHT, WIDTH, 1)), tf.float32)
    function = traced(lambda images: [tf.nn.conv2d(tf.cast(images, tf.float32), kernel, 1, "SAME") * mask + 2.0])
    images = tf.constant(pictures(2))
    expected = function(images)[0].numpy()
    graph_def = function.graph.as_graph_def()
    assert fold_batch_norm(graph_def, [function.outputs[0].name]) == 0
    np.testing.assert_allclose(freeze(function)(images)[0].numpy(), expected, rtol=1e-5, atol=1e-3)


def test_a_subtraction_from_a_constant_is_not_taken_for_one_of_it() -> None:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(1, 1, 3, 4)), tf.float32)
    function = traced(lambda images: [1.0 - tf.nn.conv2d(tf.cast(images, tf.float32), kernel, 1, "SAME") * 2.0 - 3.0])
    images = tf.constant(pictures(2))
    expected = function(images)[0].numpy()
    np.testing.assert_allclose(freeze(function)(images)[0].numpy(), expected, rtol=1e-5, atol=1e-3)
