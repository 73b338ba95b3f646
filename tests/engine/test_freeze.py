"""Folding batch norm must change the graph and not the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiler.freeze import freeze
from streamcam.engine.compiler.graph_editor import PassContext
from streamcam.engine.compiler.passes import fold_batch_norm
from streamcam.errors import ModelError
from streamcam.tf import keras, tf

from . import models
from .executables import build_executable, random_images
from .graphs import executed_ops, operations, trace
from .models import HEIGHT, WIDTH


def run_frozen(function: Any, images: Any) -> list[Any]:
    return freeze(function).load("cpu")(np.asarray(images))


@pytest.mark.parametrize("build", [models.functional, models.nested_model, models.subclassed_model])
def test_the_numbers_stay(build: Any) -> None:
    model = build()
    function = trace(lambda images: [model(tf.cast(images, tf.float32) / 255, training=False)])
    images = random_images(2)
    expected = function(tf.constant(images))[0].numpy()
    np.testing.assert_allclose(run_frozen(function, images)[0], expected, atol=1e-6)


def test_every_batch_norm_goes_into_its_convolution() -> None:
    model = models.functional()
    frozen = freeze(trace(lambda images: [model(tf.cast(images, tf.float32), training=False)]))
    found = operations(frozen)
    assert found["Conv2D"] == 3
    assert found["DepthwiseConv2dNative"] == 1
    assert found["BiasAdd"] == 4 + 1  # one a convolution, one of the dense layer
    assert found["Rsqrt"] == 0
    assert found["Mul"] == 0


def test_residual_sums_are_fused() -> None:
    layers = keras.layers
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = short = layers.Conv2D(8, 3, padding="same", bias_initializer="ones", activation="relu")(x)
    # What a session does not know to be of one size it does not fuse.
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, padding="same", bias_initializer="ones")(x))
    short = layers.Conv2D(8, 1, strides=2, bias_initializer="ones")(short)
    x = layers.ReLU()(layers.Add()([short, x]))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    frozen = freeze(trace(lambda images: [model(tf.cast(images, tf.float32), training=False)]))
    ran = executed_ops(frozen, random_images(2))
    if not ran["_MklNativeFusedConv2D"]:
        pytest.skip("TensorFlow fuses sums on this CPU with nothing")
    assert ran["_MklNativeFusedConv2D"] == 3
    assert not {"AddV2", "_MklNativeAddV2", "Relu", "BiasAdd", "Mul"} & ran.keys()


def test_a_tensor_with_another_reader_keeps_its_value() -> None:
    """A target layer between a convolution and its batch norm."""
    model = models.functional()
    both = keras.Model(model.inputs, [model.get_layer("linear").output, model.output])
    function = trace(lambda images: list(both(tf.cast(images, tf.float32) / 255, training=False)))
    images = tf.constant(random_images(2))
    expected = [output.numpy() for output in function(images)]
    frozen = freeze(function)
    assert operations(frozen)["Rsqrt"] == 1  # the batch norm behind `linear` stays
    for got, expected_values in zip(frozen.load("cpu")(images.numpy()), expected, strict=True):
        np.testing.assert_allclose(got, expected_values, atol=1e-5)


def test_gradients_through_a_batch_norm_stay() -> None:
    model = models.functional()
    inner = keras.Model(model.inputs, [model.get_layer("linear").output, model.output])

    def gradient(images: Any) -> list[Any]:
        feature_map, output = inner(tf.cast(images, tf.float32) / 255, training=False)
        return [tf.gradients(tf.reduce_sum(tf.math.log(output[:, 1])), feature_map)[0]]

    function = trace(gradient)
    images = tf.constant(random_images(2))
    expected = function(images)[0].numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(run_frozen(function, images)[0], expected, atol=1e-7, rtol=1e-3)


def test_a_constant_that_differs_from_place_to_place_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    kernel = tf.constant(rng.normal(size=(3, 3, 3, 4)), tf.float32)
    mask = tf.constant(rng.normal(size=(HEIGHT, WIDTH, 1)), tf.float32)
    function = trace(lambda images: [tf.nn.conv2d(tf.cast(images, tf.float32), kernel, 1, "SAME") * mask + 2.0])
    images = tf.constant(random_images(2))
    expected = function(images)[0].numpy()
    graph_def = function.graph.as_graph_def()
    assert fold_batch_norm(PassContext(graph_def, (), (function.outputs[0].name,))) == 0
    np.testing.assert_allclose(run_frozen(function, images)[0], expected, rtol=1e-5, atol=1e-3)


def test_a_subtraction_from_a_constant_is_not_taken_for_one_of_it() -> None:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(1, 1, 3, 4)), tf.float32)
    function = trace(lambda images: [1.0 - tf.nn.conv2d(tf.cast(images, tf.float32), kernel, 1, "SAME") * 2.0 - 3.0])
    images = tf.constant(random_images(2))
    expected = function(images)[0].numpy()
    np.testing.assert_allclose(run_frozen(function, images)[0], expected, rtol=1e-5, atol=1e-3)


def graph_of(build: Any) -> tuple[Any, list[str]]:
    """A `GraphDef` and the names of its outputs, which `build` makes from a convolution of four channels."""
    rng = np.random.default_rng(0)
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, (1, 4, 6, 3), name="images")
        kernel = tf.constant(rng.normal(size=(1, 1, 3, 4)), tf.float32)
        outputs = build(tf.nn.conv2d(images, kernel, 1, "SAME", name="convolution"))
    return graph.as_graph_def(), [output.name for output in outputs]


def run(graph_def: Any, outputs: list[str]) -> list[Any]:
    images = np.random.default_rng(1).normal(size=(1, 4, 6, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        return list(session.run(outputs, {"images:0": images}))


PER_CHANNEL = np.array([0.5, -2.0, 3.0, 0.25], np.float32)


@pytest.mark.parametrize(
    ("build", "folds"),
    [
        (lambda y: [tf.identity(y * PER_CHANNEL)], 1),
        (lambda y: [tf.identity((y - PER_CHANNEL) * PER_CHANNEL[::-1] + 1.0)], 1),
        (lambda y: [tf.identity((y + PER_CHANNEL) * 2.0 - PER_CHANNEL.reshape(1, 1, 1, 4))], 1),
        (lambda y: [tf.identity(tf.nn.bias_add(y, PER_CHANNEL) * 3.0)], 1),
        (lambda y: [tf.identity(PER_CHANNEL - y)], 0),
        (lambda y: [tf.identity(y * PER_CHANNEL.reshape(4, 1, 1))], 0),  # one number a row, of which there are four
        (lambda y: [tf.identity(y * PER_CHANNEL + y)], 0),  # two readers
        (lambda y: [y, tf.identity(y * PER_CHANNEL)], 0),  # asked for itself
        (lambda y: [y * PER_CHANNEL], 0),  # the end of the chain is asked for by name
    ],
    ids=["mul", "sub-mul-add", "add-mul-sub", "bias", "from-constant", "rows", "two-readers", "kept", "output"],
)
def test_chains(build: Any, folds: int) -> None:
    graph_def, outputs = graph_of(build)
    expected = run(graph_def, outputs)
    folded = fold_batch_norm(PassContext(graph_def, (), tuple(outputs)))
    for got, expected_values in zip(run(graph_def, outputs), expected, strict=True):
        np.testing.assert_allclose(got, expected_values, rtol=1e-5, atol=1e-5)
    assert folded <= folds
    if folds:
        assert folded == 1
        pruned = tf.compat.v1.graph_util.extract_sub_graph(graph_def, [name.partition(":")[0] for name in outputs])
        assert not {"Mul", "Sub", "AddV2"} & {node.op for node in pruned.node}


def test_a_kernel_of_two_convolutions_is_folded_for_each() -> None:
    def build(y: Any) -> list[Any]:
        convolution = y.op
        again = tf.nn.conv2d(convolution.inputs[0] + 1.0, convolution.inputs[1], 1, "SAME")
        return [tf.identity(y * PER_CHANNEL), tf.identity(again * 2.0)]

    graph_def, outputs = graph_of(build)
    expected = run(graph_def, outputs)
    assert fold_batch_norm(PassContext(graph_def, (), tuple(outputs))) == 2
    for got, expected_values in zip(run(graph_def, outputs), expected, strict=True):
        np.testing.assert_allclose(got, expected_values, rtol=1e-5, atol=1e-5)


class Counting(keras.layers.Layer):
    """Changes a variable; also from inside a function of TensorFlow."""

    def __init__(self, *, inside: bool, **options: Any) -> None:
        super().__init__(**options)
        self.inside = inside

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        def count(x: Any) -> Any:
            self.calls.assign_add(1.0)
            return x

        return tf.function(count)(x) if self.inside else count(x)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
def test_a_model_that_changes_its_variables_is_reported(method: str, inside: bool) -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.Conv2D(4, 3, strides=8)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(Counting(inside=inside, name="counting")(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    with pytest.raises(ModelError, match=r"changes a variable on every call: .*count.*training=False") as caught:
        build_executable(model, method)
    assert "gradients" not in str(caught.value)
    assert float(model.get_layer("counting").calls) == 0
