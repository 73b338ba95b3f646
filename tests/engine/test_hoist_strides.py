"""Strides that move to where they save work must leave every number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiler.freeze import freeze
from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.tf import keras, tf

from .models import HEIGHT, WIDTH, L, randomize_weights
from .test_compiled_method import random_images
from .test_compiler_passes import run
from .test_freeze import trace


def strides(program: FrozenGraph) -> list[int]:
    """Of all convolutions, in the order of the graph's names."""
    found = {node.name: node.attr["strides"].list.i[1] for node in program.graph_def.node if node.op == "Conv2D"}
    return [found[name] for name in sorted(found)]


def freeze_and_check(build: Any) -> FrozenGraph:
    """A model with `build` on a feature map of eight channels; the numbers are compared."""
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    made = build(L.Conv2D(8, 3, padding="same", activation="relu", name="a")(x))
    model = randomize_weights(keras.Model(inputs, made))
    function = trace(lambda images: [tf.identity(one) for one in tf.nest.flatten(model(tf.cast(images, tf.float32)))])
    images = tf.constant(random_images(2))
    program = freeze(function)
    for got, expected in zip(run(program, images), function(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-3)
    return program


def residual(x: Any, kernel: int = 3, **named: Any) -> Any:
    """A block as ResNet's."""
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 1, name="b")(x)))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, kernel, padding="same", name="c", **named)(y)))
    y = L.BatchNormalization()(L.Conv2D(8, 1, name="d")(y))
    return L.ReLU()(L.Add()([x, y]))


def halving(x: Any, step: int = 2) -> list[Any]:
    """What comes first in the next stage: both read every second position only."""
    return [L.Conv2D(6, 1, strides=step, name="e")(x), L.Conv2D(16, 1, strides=step, name="f")(x)]


@pytest.mark.parametrize("cut", [1, 4], ids=["even", "odd"])
@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_a_residual_block_computes_only_what_is_read(kernel: int, step: int, cut: int) -> None:
    program = freeze_and_check(lambda x: halving(residual(L.Conv2D(8, cut, name="aa")(x), kernel), step))
    # Names in order: a, aa, b, c, d, e, f. What is 1×1 itself hands them on.
    assert strides(program) == ([1, 1, step, 1, 1, 1, 1] if kernel == 1 else [1, 1, 1, step, 1, 1, 1])


def test_strides_multiply() -> None:
    program = freeze_and_check(
        lambda x: halving(L.Conv2D(8, 5, strides=3, padding="same", activation="relu", name="c")(x))
    )
    assert strides(program) == [1, 6, 1, 1]


def test_paddings_that_are_explicit_or_none_stay() -> None:
    program = freeze_and_check(lambda x: halving(L.Conv2D(8, 4, padding="valid", activation="relu", name="c")(x)))
    assert strides(program) == [1, 2, 1, 1]
    assert not any(node.op == "Pad" for node in program.graph_def.node)


def per_row(x: Any) -> Any:
    return x * tf.reshape(tf.range(1.0, HEIGHT + 1), (HEIGHT, 1, 1))


def squeeze_excite(x: Any) -> Any:
    y = L.Conv2D(8, 3, padding="same")(x)
    return L.Multiply()([y, L.Conv2D(8, 1)(L.GlobalAveragePooling2D(keepdims=True)(x))])


@pytest.mark.parametrize(
    "build",
    [
        lambda x: [*halving(residual(x)), L.GlobalMaxPooling2D()(x)],
        lambda x: (lambda y: [*halving(y), L.GlobalAveragePooling2D()(y)])(residual(x)),
        lambda x: (lambda y: [*halving(y), y])(residual(x)),
        lambda x: (lambda y: [L.Conv2D(3, 1, strides=2)(y), L.Conv2D(3, 1, strides=3)(y)])(residual(x)),
        lambda x: (lambda y: [L.Conv2D(3, 1, strides=2)(y), L.Conv2D(3, 3, strides=2)(y)])(residual(x)),
        lambda x: halving(L.Lambda(per_row)(L.Conv2D(8, 3, padding="same")(x))),
        lambda x: halving(squeeze_excite(x)),
        lambda x: halving(L.MaxPooling2D(3, 1)(x)),
        lambda x: halving(L.Conv2D(8, 3, dilation_rate=2, padding="same")(x)),
        lambda x: halving(L.Softmax(axis=1)(L.Conv2D(8, 3, padding="same")(x))),
        lambda x: halving(residual(x, dilation_rate=2)),
        lambda x: halving(L.DepthwiseConv2D(3, padding="same")(x)),
        lambda x: halving(L.UpSampling2D()(L.Conv2D(8, 3, padding="same")(x))),
    ],
    ids=[
        *("another-reads-before", "pooled", "kept", "two-steps", "three-by-three", "constant-per-row", "excited"),
        *("pooling", "dilated", "softmax-over-rows", "block-dilated", "depthwise", "larger"),
    ],
)
def test_the_numbers_stay_with_other_readers(build: Any) -> None:
    freeze_and_check(build)


def test_a_feature_map_with_another_reader_is_computed_whole() -> None:
    def build(x: Any) -> list[Any]:
        y = residual(x)
        return [*halving(y), y]

    assert strides(freeze_and_check(build)) == [1, 1, 1, 1, 2, 2]


def test_gradients_through_what_is_read_in_part_stay() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    feature_map = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    made = L.Add()([L.Conv2D(6, 1, strides=2)(L.ReLU()(residual(feature_map))), L.Conv2D(6, 1, strides=2)(feature_map)])
    model = randomize_weights(keras.Model(inputs, [feature_map, L.GlobalAveragePooling2D()(made)]))

    def forward(images: Any) -> list[Any]:
        target, score = model(tf.cast(images, tf.float32), training=False)
        return [tf.gradients(score[:, 1], target)[0], score]

    function = trace(forward)
    images = tf.constant(random_images(2))
    for got, expected in zip(run(freeze(function), images), function(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-4)


def grouped_conv(x: Any) -> list[Any]:
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same", groups=2, use_bias=False)(x))
    return halving(L.ReLU()(L.Add()([x, y])))


def grouped_points(x: Any) -> list[Any]:
    y = L.Conv2D(8, 1, groups=2, use_bias=False)(L.Add()([x, L.Conv2D(8, 3, padding="same")(x)]))
    return halving(L.ReLU()(L.Conv2D(8, 1)(L.ReLU()(L.Add()([y, L.Conv2D(8, 3, padding="same")(x)])))))


@pytest.mark.parametrize("build", [grouped_conv, grouped_points], ids=["three-by-three", "points"])
def test_what_an_earlier_rewrite_has_made_is_left(build: Any) -> None:
    freeze_and_check(build)


def conv_weights(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


def conv(x: Any, weights: Any, strides: Any = 1, padding: str = "SAME") -> Any:
    return tf.nn.conv2d(x, weights, strides, padding)


def second_of_a_split(x: Any) -> list[Any]:
    first, second, _ = tf.split(x, [16, 15, 1], axis=1)
    return [conv(conv(second, conv_weights(3, 3, 3, 8), 2), conv_weights(1, 1, 8, 8), 2), tf.reduce_sum(first)]


def padded_second_of_a_split(x: Any) -> list[Any]:
    _, second, _ = tf.split(x, [16, 15, 1], axis=1)
    return [conv(tf.pad(second, [[0, 0], [0, 1], [0, 1], [0, 0]]), conv_weights(3, 3, 3, 8), 2, "VALID") * 1.0]


def one_with_control_dependency(x: Any) -> list[Any]:
    first, weights = conv(x, conv_weights(3, 3, 3, 4)), conv_weights(1, 1, 3, 5)
    with tf.control_dependencies([first]):
        return [conv(x, weights, 2) * 1.0]


def in_a_loop(x: Any) -> list[Any]:
    def body(count: Any, y: Any) -> list[Any]:
        y = tf.reshape(y, (2, HEIGHT, WIDTH, 3))
        y = conv(tf.nn.relu(conv(y[..., ::-1], conv_weights(3, 3, 3, 8)) * np.arange(8)), conv_weights(1, 1, 8, 3), 2)
        return [count + 1, tf.image.resize(y, (HEIGHT, WIDTH), "nearest") / 50]

    rounds = 2 + tf.cast(tf.reduce_min(x) * 0, tf.int32)
    return [tf.while_loop(lambda count, _: count < rounds, body, [0, x])[1]]


def named_alike(x: Any) -> list[Any]:
    y = tf.nn.relu(tf.nn.conv2d(x, conv_weights(3, 3, 3, 8), 1, "SAME", name="c"))
    return [conv(y, conv_weights(1, 1, 8, 8), 2) * 1.0, tf.tanh(x, name="c/padded"), tf.sin(x, name="c/folded")]


def not_a_number(x: Any) -> list[Any]:
    return [conv(conv(x, conv_weights(3, 3, 3, 8)) + tf.math.log(x[..., :1] - 100), conv_weights(1, 1, 8, 8), 2) * 1.0]


def unequal(x: Any) -> list[Any]:
    return [conv(tf.nn.relu(conv(x, conv_weights(5, 5, 3, 8), (1, 3))), conv_weights(1, 1, 8, 8), (2, 1)) * 1.0]


def of_integers(x: Any) -> list[Any]:
    y = tf.cast(x, tf.int32)
    y = y + conv(y, tf.cast(conv_weights(3, 3, 3, 3) * 5, tf.int32))
    return [conv(y, tf.cast(conv_weights(1, 1, 3, 4) * 5, tf.int32), 2) * 1]


@pytest.mark.parametrize(
    "function",
    [
        *(
            second_of_a_split,
            padded_second_of_a_split,
            one_with_control_dependency,
            in_a_loop,
            named_alike,
            not_a_number,
        ),
        *(unequal, of_integers),
    ],
)
def test_graphs_that_no_layer_makes(function: Any) -> None:
    concrete = trace(lambda images: function(tf.cast(images, tf.float32)))
    images = tf.constant(random_images(2))
    for got, expected in zip(run(freeze(concrete), images), concrete(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-2)
