"""Weights beside a graph: which of them, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiled_method import FrozenMethod
from streamcam.engine.compiler.freeze import freeze
from streamcam.engine.compiler.graph_editor import MIN_WEIGHT_BYTES
from streamcam.engine.runtime.compile_cache import CompileCache, TunedMethod
from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.tf import tf

RNG = np.random.default_rng(7)
KERNELS = [RNG.normal(0, 0.1, (3, 3, 16, 16)).astype(np.float32) for _ in range(2)]
DENSE = RNG.normal(0, 0.1, (16, 80)).astype(np.float32)
TABLE = RNG.normal(0, 1, (100, 16)).astype(np.float32)
IMAGES = RNG.normal(0, 1, (2, 8, 8, 16)).astype(np.float32)


def two_alike() -> Callable[[Any], list[Any]]:
    first, second, dense = tf.Variable(KERNELS[0]), tf.Variable(KERNELS[1]), tf.Variable(DENSE)

    def forward(images: Any) -> list[Any]:
        feature_map = tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(images, first, 1, "SAME")), second, 1, "SAME")
        return [tf.linalg.matmul(tf.reduce_mean(feature_map, (1, 2)), dense)]

    return forward


def from_constants() -> Callable[[Any], list[Any]]:
    """As in a SavedModel, whose variables are constants by then."""
    first, second = (tf.constant(kernel) for kernel in KERNELS)
    return lambda images: [tf.nn.conv2d(tf.nn.conv2d(images, first, 1, "SAME"), second, 1, "SAME")]


def read_otherwise() -> Callable[[Any], list[Any]]:
    """A kernel that is changed on the way, and one whose value is also an answer by itself."""
    first, second = tf.Variable(KERNELS[0]), tf.Variable(KERNELS[1])

    def forward(images: Any) -> list[Any]:
        centred = first - tf.reduce_mean(first, (0, 1, 2))
        feature_map = tf.nn.conv2d(images, centred, 1, "SAME")
        return [tf.nn.conv2d(feature_map, second, 1, "SAME"), tf.abs(second)]

    return forward


def table_lookup() -> Callable[[Any], list[Any]]:
    """No operation reads the whole table."""
    table, kernel = tf.Variable(TABLE), tf.Variable(KERNELS[0])

    def forward(images: Any) -> list[Any]:
        tokens = tf.cast(tf.abs(images[:, 0, :, 0]) * 30, tf.int32) % 100
        return [tf.gather(table, tokens), tf.nn.conv2d(images, kernel, 1, "SAME")]

    return forward


def twice() -> Callable[[Any], list[Any]]:
    kernel = tf.Variable(KERNELS[0])
    return lambda images: [tf.nn.conv2d(tf.nn.conv2d(images, kernel, 1, "SAME"), kernel, 1, "SAME")]


def in_branches() -> Callable[[Any], list[Any]]:
    """Which kernel it is depends on the image."""

    def forward(images: Any) -> list[Any]:
        kernels = [lambda kernel=kernel: tf.constant(kernel) for kernel in KERNELS]
        chosen = tf.cond(tf.reduce_mean(images) > 1e6, *kernels)
        other = tf.switch_case(tf.cast(images[0, 0, 0, 0] > 1e6, tf.int32), kernels)
        return [tf.nn.conv2d(images, chosen, 1, "SAME"), tf.nn.conv2d(images, other, 1, "SAME")]

    return forward


def in_a_loop() -> Callable[[Any], list[Any]]:
    def once(n: Any, feature_map: Any) -> tuple[Any, Any]:
        return n + 1, tf.nn.conv2d(feature_map, tf.constant(KERNELS[0]), 1, "SAME")

    return lambda images: [tf.while_loop(lambda n, feature_map: n < 3, once, (0, images))[1]]


def of_any_shape() -> Callable[[Any], list[Any]]:
    dense = tf.Variable(DENSE, shape=tf.TensorShape(None))
    return lambda images: [tf.linalg.matmul(tf.reduce_mean(images, (1, 2)), tf.reshape(dense, DENSE.shape))]


def backwards() -> Callable[[Any], list[Any]]:
    forwards = two_alike()
    return lambda images: [tf.gradients(tf.reduce_sum(forwards(images)[0][:, 3]), images)[0]]


def freeze_and_check(build: Callable[[], Callable[[Any], list[Any]]]) -> tuple[FrozenGraph, list[Any]]:
    """A program, and what the function itself makes of `IMAGES`."""
    result = build()  # a function does not keep its variables
    function = tf.function(result, autograph=False).get_concrete_function(tf.TensorSpec(IMAGES.shape, tf.float32))
    return freeze(function), [output.numpy() for output in function(tf.constant(IMAGES))]


@pytest.mark.parametrize(
    ("build", "beside"),
    [
        *((two_alike, 3), (from_constants, 2), (read_otherwise, 1), (table_lookup, 1), (twice, 1), (backwards, 3)),
        *((in_branches, 0), (in_a_loop, 0), (of_any_shape, 0)),
    ],
)
def test_numbers_stay(build: Callable[[], Callable[[Any], list[Any]]], beside: int) -> None:
    program, expected = freeze_and_check(build)
    for one in (program, program.rewrite("float32")):
        for got, expected_values in zip(one.load("cpu")(IMAGES), expected, strict=True):
            np.testing.assert_allclose(got, expected_values, atol=1e-5)
    assert len({id(value) for value in program.weights.values()}) == beside


def test_the_graph_is_light() -> None:
    program, _ = freeze_and_check(two_alike)
    assert sum(value.nbytes for value in program.weights.values()) > 20_000
    assert program.graph_def.ByteSize() < 2 * MIN_WEIGHT_BYTES
    assert program.rewrite("float32").graph_def.ByteSize() < 2 * MIN_WEIGHT_BYTES


def test_weights_in_bfloat16_are_rounded_once() -> None:
    program, expected = freeze_and_check(two_alike)
    rewritten = program.rewrite("bfloat16")
    kinds = {value.dtype for value in rewritten.weights.values()}
    if kinds == {np.dtype(np.float32)}:
        pytest.skip("TensorFlow rewrites for bfloat16 only if the CPU has it")
    assert kinds == {np.dtype(tf.bfloat16.as_numpy_dtype)}
    casts = [node for node in rewritten.graph_def.node if node.op == "Cast" and node.input[0] in rewritten.weights]
    assert not casts
    (got,) = rewritten.load("cpu", "bfloat16")(IMAGES)
    np.testing.assert_allclose(got, expected[0], atol=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_was_kept_computes_the_same(tmp_path: Path, precision: str) -> None:
    program, _ = freeze_and_check(two_alike)
    program = program.rewrite(precision)
    plan = FrozenMethod(
        first=program, size=(8, 8), batch=2, layer="input", layer_summary="", native_precision="float32"
    )
    store = CompileCache(tmp_path)
    store.put_method("key", TunedMethod(plan, precision))
    found = store.get_method("key")
    assert found is not None
    again = found.method.first
    assert list(again.weights) == list(program.weights)
    assert [value.dtype for value in again.weights.values()] == [value.dtype for value in program.weights.values()]
    expected = program.load("cpu", precision)(IMAGES)
    assert np.array_equal(again.load("cpu", precision)(IMAGES)[0], expected[0])


def test_a_damaged_weight_is_found(tmp_path: Path) -> None:
    program, _ = freeze_and_check(two_alike)
    plan = FrozenMethod(
        first=program, size=(8, 8), batch=2, layer="input", layer_summary="", native_precision="float32"
    )
    store = CompileCache(tmp_path)
    store.put_method("key", TunedMethod(plan, "float32"))
    path = tmp_path / "key.zip"
    data = bytearray(path.read_bytes())
    place = data.find(next(iter(program.weights.values())).tobytes())
    assert place > 0
    data[place] ^= 255
    path.write_bytes(data)
    assert store.get_method("key") is None
    assert not path.exists()
