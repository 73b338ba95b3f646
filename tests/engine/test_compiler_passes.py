"""Each rewrite must change the graph and not the numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiler.freeze import freeze
from streamcam.errors import ModelError
from streamcam.tf import convert_variables_to_constants_v2, keras, tf

from .executables import build_executable, random_images, scale
from .graphs import operations, run, trace
from .models import HEIGHT, WIDTH, L, randomize_weights


def operations_before(function: Any) -> Counter[str]:
    """What a frozen function consists of, without what no output needs."""
    pruned = tf.compat.v1.graph_util.extract_sub_graph(
        function.graph.as_graph_def(), [tensor.op.name for tensor in function.outputs]
    )
    return Counter(node.op for node in pruned.node)


class Wrapped(keras.Model):
    """Hides a model's inside from code that reads layers."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Any, training: bool = False) -> Any:
        return tf.identity(self.inner(inputs, training=training))


def both(layers: Any) -> list[Any]:
    """A functional and a subclassed model of the same layers."""
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    model = randomize_weights(keras.Model(inputs, layers(x)))
    return [model, Wrapped(model)]


def freeze_and_check(model: Any) -> Any:
    """The operations left after freezing, and those of the frozen graph as it was; the numbers are compared."""

    def forward(images: Any) -> list[Any]:
        return [model(tf.cast(images, tf.float32) / 255, training=False)]

    function = trace(forward)
    images = tf.constant(random_images(2))
    expected = function(images)[0].numpy()
    frozen = freeze(function)
    np.testing.assert_allclose(run(frozen, images)[0], expected, atol=2e-6, rtol=1e-5)
    return operations(frozen), operations_before(convert_variables_to_constants_v2(function))


def padded_layers(pads: Any, kernel: int, strides: int, depthwise: bool) -> Any:
    def layers(x: Any) -> Any:
        x = L.Conv2D(4, 1, activation="relu")(x)
        make = L.DepthwiseConv2D if depthwise else (lambda *given, **named: L.Conv2D(6, *given, **named))
        x = make(kernel, strides=strides, padding="valid", use_bias=False)(L.ZeroPadding2D(pads)(x))
        return L.ReLU(6.0)(L.BatchNormalization()(x))

    return layers


@pytest.mark.slow
@pytest.mark.parametrize("depthwise", [True, False], ids=["depthwise", "ordinary"])
@pytest.mark.parametrize(
    ("pads", "kernel", "strides", "same"),
    [
        (((0, 1), (0, 1)), 3, 2, True),
        (((1, 2), (1, 2)), 5, 2, True),
        (1, 3, 1, True),
        (1, 3, 2, False),  # PyTorch's: SAME pads the other side only
        (3, 7, 2, False),
        (((0, 1), (0, 0)), 3, 2, False),
    ],
)
def test_padding_that_is_same_goes_into_the_convolution(
    pads: Any, kernel: int, strides: int, same: bool, depthwise: bool
) -> None:
    for model in both(padded_layers(pads, kernel, strides, depthwise)):
        after, earlier = freeze_and_check(model)
        assert earlier["Pad"] == 1
        assert after["Pad"] == (0 if same else 1)


def test_padding_by_something_else_than_zero_stays() -> None:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 4)), tf.float32)

    def forward(images: Any) -> list[Any]:
        feature_map = tf.pad(tf.cast(images, tf.float32), [[0, 0], [0, 1], [0, 1], [0, 0]], constant_values=7)
        return [tf.nn.conv2d(feature_map, kernel, 2, "VALID")]

    function = trace(forward)
    images = tf.constant(random_images(2))
    frozen = freeze(function)
    assert operations(frozen)["PadV2"] == 1
    np.testing.assert_allclose(run(frozen, images)[0], function(images)[0].numpy(), rtol=1e-5, atol=1e-3)


def test_a_padded_feature_map_with_another_reader_keeps_its_value() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = feature_map = L.ZeroPadding2D(((0, 1), (0, 1)))(x)
    model = keras.Model(inputs, [feature_map, L.DepthwiseConv2D(3, strides=2)(x)])
    function = trace(lambda images: list(model(tf.cast(images, tf.float32), training=False)))
    images = tf.constant(random_images(2))
    for got, expected in zip(run(freeze(function), images), function(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("groups", [4, 8], ids=["grouped", "depthwise"])
def test_grouped_convolutions_come_out_of_their_calls(groups: int) -> None:
    def layers(x: Any) -> Any:
        x = L.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = L.Conv2D(16, 3, padding="same", groups=groups)(x)
        return L.ReLU()(L.BatchNormalization()(x))

    for model in both(layers):
        after, earlier = freeze_and_check(model)
        assert earlier["StatefulPartitionedCall"] == 1
        assert after["StatefulPartitionedCall"] == 0
        assert after["Conv2D"] == 2
        assert after["BiasAdd"] == 2
        assert (earlier["Mul"], after["Mul"]) == (3, 0)  # the batch norm is in the kernel


class Scale(L.Layer):
    """As ConvNeXt's layer scale."""

    def build(self, shape: Any) -> None:
        self.gamma = self.add_weight(shape=(shape[-1],), initializer=keras.initializers.RandomUniform(0.5, 1.5, 0))

    def call(self, x: Any) -> Any:
        return x * self.gamma


def block(x: Any, width: int) -> Any:
    """A block of ConvNeXt."""
    x = before = L.Conv2D(8, 4, strides=4)(x)
    x = L.Conv2D(8, 7, padding="same", groups=8)(x)
    x = L.LayerNormalization(epsilon=1e-6)(x)
    x = L.Activation("gelu")(L.Dense(width)(x))
    x = Scale()(L.Dense(8)(x))
    return L.Add()([before, x])


@pytest.mark.slow
@pytest.mark.parametrize("width", [32, 1200], ids=["bias in the graph", "bias large enough to lie beside it"])
def test_a_block_of_dense_layers_on_a_feature_map(width: int) -> None:
    for model in both(lambda x: block(x, width)):
        after, earlier = freeze_and_check(model)
        assert earlier["Erfc"] == 1
        assert (after["Erfc"], after["Erf"]) == (0, 1)
        assert after["BiasAdd"] == 4
        # Nothing lies between the dense layers' products and their biases, nor between bias and GELU, for which
        # TensorFlow fuses no further; layer scale is in the second kernel.
        assert after["StatefulPartitionedCall"] == 0
        assert after["Mul"] == earlier["Mul"] - 1


def test_a_gelu_with_an_inner_reader_stays() -> None:
    inner = L.Dense(8, bias_initializer="random_normal")

    def forward(images: Any) -> list[Any]:
        x = inner(tf.cast(images, tf.float32) / 255)
        return [x, tf.nn.gelu(x, approximate=False), tf.identity(tf.nn.gelu(x, approximate=False))]

    function = trace(forward)
    images = tf.constant(random_images(2))
    frozen = freeze(function)
    assert operations(frozen)["Erf"] == 0
    for got, expected in zip(run(frozen, images), function(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-6)


def test_gradients_through_dense_layers_on_a_feature_map_stay() -> None:
    x = inputs = keras.Input((8, 12, 6))
    x = L.Activation("gelu")(L.Dense(16, bias_initializer="random_normal")(x))
    model = keras.Model(inputs, Scale()(L.Dense(4, bias_initializer="random_normal")(x)))

    def gradient(feature_map: Any) -> list[Any]:
        return [tf.gradients(tf.reduce_sum(model(feature_map)[..., 1] ** 2), feature_map)[0]]

    function = tf.function(gradient, autograph=False).get_concrete_function(tf.TensorSpec((2, 8, 12, 6)))
    activations = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 12, 6)), tf.float32)
    expected = function(activations)[0].numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(run(freeze(function), activations)[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_gradients_go_through_grouped_convolutions() -> None:
    """As in ConvNeXt; TensorFlow's own freezing fails there."""
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(8, 7, padding="same", groups=8)(L.Conv2D(8, 4, strides=4)(x))
    model = randomize_weights(keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling2D()(L.ReLU()(x)))))
    images = tf.constant(scale(random_images(2).astype(np.float32)))
    with tf.GradientTape() as tape:
        tape.watch(images)
        score = tf.reduce_sum(tf.reduce_max(model(images), axis=1))
    expected = np.abs(tape.gradient(score, images).numpy()).max(axis=-1)
    assert expected.max() > 0
    found = build_executable(model, "saliency")(random_images(2)).maps[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


def test_what_tensorflow_cannot_freeze_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(function: Any) -> Any:
        raise ValueError("no way")

    monkeypatch.setattr("streamcam.engine.compiler.freeze.externalize_weights", fails)
    with pytest.raises(ModelError, match=r"cannot freeze the model: no way.*such as occlusion"):
        freeze(trace(lambda images: [tf.cast(images, tf.float32)]))
