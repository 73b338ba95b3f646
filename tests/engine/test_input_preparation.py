"""Preprocessing may move or change shape, but not the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiler.freeze import freeze
from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.models.zoo.applications import preprocessing
from streamcam.tf import tf

from .models import HEIGHT, WIDTH
from .test_compiled_method import random_images
from .test_compiler_passes import run
from .test_freeze import operations, trace

CAFFE = np.array([103.939, 116.779, 123.68], np.float32)


def conv_weights(rows: int = 3, channels: int = 3, filters: int = 4) -> Any:
    return tf.constant(np.random.default_rng(0).normal(size=(rows, rows, channels, filters)), tf.float32)


def freeze_and_check(function: Any) -> FrozenGraph:
    """A function of images, frozen; the numbers are compared."""
    concrete = trace(lambda images: tf.nest.flatten(function(tf.cast(images, tf.float32))))
    images = tf.constant(random_images(2))
    program = freeze(concrete)
    for got, expected in zip(run(program, images), concrete(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-2)
    return program


def stack_channels(x: Any, *order: int) -> Any:
    return tf.stack([x[..., channel] for channel in order], -1)


def convolve(x: Any, strides: int = 1, padding: str = "SAME") -> Any:
    return tf.identity(tf.nn.conv2d(x, conv_weights(), strides, padding))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: convolve(stack_channels(x, 2, 1, 0)),
        lambda x: convolve(stack_channels(x, 1, 2, 0)),  # no order that is its own inverse
        lambda x: convolve(x[..., ::-1]),
        lambda x: convolve(tf.reverse(x, [-1])),
        lambda x: convolve(tf.reverse(x, [3])),
        lambda x: convolve(stack_channels(x, 2, 0, 1) - CAFFE),
        lambda x: convolve(CAFFE - stack_channels(x, 2, 0, 1) / CAFFE[::-1] * 2.0),
        lambda x: convolve(stack_channels(x, 2, 0, 1) * CAFFE.reshape(1, 1, 1, 3)),
        lambda x: convolve(stack_channels(x, 2, 0, 1) + np.arange(HEIGHT * 3, dtype=np.float32).reshape(HEIGHT, 1, 3)),
        lambda x: convolve(tf.pad(stack_channels(x, 2, 0, 1) - CAFFE, [[0, 0], [3, 3], [2, 3], [0, 0]]), 2, "VALID"),
        lambda x: convolve(tf.pad(stack_channels(x, 2, 0, 1), [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=9.0)),
        lambda x: convolve(preprocessing("resnet")(x)),
    ],
    ids=[
        *("stack", "rotated", "slice", "reverse", "reverse-3", "difference", "from-constant", "product", "per-row"),
        *("padded", "padded-by-nine", "keras"),
    ],
)
def test_the_order_of_channels_goes_into_the_kernel(function: Any) -> None:
    assert not {"Pack", "ReverseV2", "StridedSlice"} & operations(freeze_and_check(function)).keys()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (lambda y: [convolve(y), tf.identity(y)])(stack_channels(x, 2, 1, 0)),
        lambda x: (lambda y: [convolve(y + 1.0), tf.reduce_max(y)])(stack_channels(x, 2, 1, 0)),
        lambda x: (lambda y: [convolve(y), y])(stack_channels(x, 2, 1, 0) - CAFFE),
        lambda x: convolve(stack_channels(x, 2, 2, 0)),
        lambda x: convolve(tf.stack([x[..., 2], x[..., 1] + 1.0, x[..., 0]], -1)),
        lambda x: convolve(tf.stack([x[..., 2], x[..., 1], x[..., 0]], 1)[:, :, :, :3]),
        lambda x: convolve(x[:, ::-1]),
        lambda x: convolve(x[..., ::-1, :]),
        lambda x: convolve(tf.reverse(x, [2])),
        lambda x: convolve(tf.reverse(x, [1, 3])),
        lambda x: convolve(stack_channels(x, 2, 1, 0) * x),
        lambda x: convolve((lambda y: y + y)(stack_channels(x, 2, 1, 0))),
        lambda x: convolve(tf.nn.relu(stack_channels(x, 2, 1, 0) - CAFFE)),
        lambda x: tf.identity(tf.nn.conv2d(x[..., ::-1], conv_weights(3, 1, 6), 1, "SAME")),  # three groups
        lambda x: tf.identity(tf.nn.depthwise_conv2d(x[..., ::-1], conv_weights(3, 3, 2), (1, 1, 1, 1), "SAME")),
        lambda x: tf.identity(
            tf.nn.conv2d(tf.pad(x[..., ::-1], [[0, 0]] * 3 + [[1, 0]]), conv_weights(3, 4), 1, "SAME")
        ),
    ],
    ids=[
        *("asked-for", "two-readers", "within-asked-for", "no-order", "not-alone", "another-axis", "rows", "columns"),
        *("reversed-columns", "rows-too", "product", "twice", "relu", "grouped", "depthwise", "channel-more"),
    ],
)
def test_other_orders_stay(function: Any) -> None:
    assert {"Pack", "ReverseV2", "StridedSlice"} & operations(freeze_and_check(function)).keys()


def with_control_dependency(x: Any) -> Any:
    other, weights, constant = x[..., ::-1], conv_weights(), tf.constant(CAFFE)
    with tf.control_dependencies([other]):
        return tf.identity(tf.nn.conv2d(tf.add(x, constant), weights, 1, "SAME"))


def constants_with_control_dependency(x: Any) -> list[Any]:
    kernels, ones, twos, sevens = (
        (conv_weights(), conv_weights(filters=4) * 2),
        tf.ones(4),
        tf.fill([4], 2.0),
        tf.fill([4], 7.0),
    )
    with tf.control_dependencies([sevens]):
        added, last = ones + twos, tf.identity(kernels[1])
    return [
        tf.identity(tf.nn.conv2d(x, kernels[0], 1, "SAME") + added),
        tf.identity(tf.nn.conv2d(x[..., ::-1], last, 1, "SAME") * sevens),
    ]


def of_more_channels(x: Any) -> Any:
    return tf.identity(
        tf.nn.conv2d(stack_channels(tf.concat([x, x * 2 + 5], -1), 2, 1, 0) - CAFFE, conv_weights(3, 3, 6), 1, "SAME")
    )


def of_no_rank(x: Any) -> Any:
    unknown = tf.reshape(x, tf.cast(tf.shape(x) + tf.cast(tf.reduce_min(x) * 0, tf.int32), tf.int32))
    return tf.identity(
        tf.nn.conv2d(tf.numpy_function(lambda a: a, [unknown], tf.float32)[..., ::-1], conv_weights(), 1, "SAME")
    )


def second_of_a_split(x: Any) -> Any:
    return convolve(stack_channels(tf.split(tf.concat([x, x * 2, x[..., :1]], -1), [4, 3], -1)[1], 1, 0, 2))


@pytest.mark.parametrize(
    "function",
    [with_control_dependency, constants_with_control_dependency, of_more_channels, of_no_rank, second_of_a_split],
)
def test_graphs_that_no_layer_makes(function: Any) -> None:
    freeze_and_check(function)


def test_gradients_to_images_keep_their_order() -> None:
    def forward(x: Any) -> list[Any]:
        y = tf.nn.conv2d(preprocessing("resnet")(x), conv_weights(), 2, "SAME")
        return [tf.gradients(tf.reduce_sum(y * y), x)[0], tf.identity(y)]

    function = trace(lambda images: forward(tf.cast(images, tf.float32)))
    images = tf.constant(random_images(2))
    for got, expected in zip(run(freeze(function), images), function(images), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: convolve(x - CAFFE), [(WIDTH, 3)]),
        (lambda x: convolve(x / CAFFE.reshape(1, 1, 1, 3) - CAFFE), [(WIDTH, 3), (WIDTH, 3)]),
        (lambda x: convolve(preprocessing("resnet")(x)), [(WIDTH, 3)]),
        (lambda x: convolve(CAFFE * x), [(WIDTH, 3)]),
        (lambda x: convolve(x - 1.0), [()]),
        (lambda x: convolve(x * np.arange(HEIGHT, dtype=np.float32).reshape(-1, 1, 1)), [(HEIGHT, 1, 1)]),
        (lambda x: tf.identity(x - CAFFE), [(WIDTH, 3)]),
        (lambda x: tf.identity(x[:, :, :, :1] - CAFFE), [(3,)]),
        (lambda x: tf.identity(x[0, 0] - CAFFE), [(3,)]),
        (lambda x: tf.identity(x + CAFFE.reshape(1, 1, 1, 1, 3)), [(1, 1, 1, 1, 3)]),
    ],
    ids=[
        *("difference", "two", "keras", "left", "scalar", "per-row", "no-convolution", "one-channel", "columns"),
        "five-axes",
    ],
)
def test_constants_per_channel_are_repeated_along_a_row(function: Any, shapes: list[tuple[int, ...]]) -> None:
    program = freeze_and_check(function)
    constants = {node.name: node for node in program.graph_def.node if node.op == "Const"}
    found = [
        tf.make_ndarray(constants[name].attr["value"].tensor).shape
        for node in program.graph_def.node
        if node.op in ("Sub", "AddV2", "Mul", "RealDiv")
        for name in node.input
        if name in constants
    ]
    assert sorted(found) == sorted(shapes)
