"""What TensorFlow fuses wrongly must stay apart, and the rest must be fused."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiler.freeze import freeze
from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.tf import keras, tf

from .models import HEIGHT, WIDTH, L
from .test_compiled_method import random_images
from .test_freeze import executed_ops, trace


def convolution(x: Any, filters: int, size: int = 1) -> Any:
    return L.Conv2D(filters, size, padding="same", bias_initializer="random_uniform")(x)


def with_itself(x: Any) -> Any:
    return L.Add()([x, convolution(x, 8)])


def padded_block(x: Any) -> Any:
    y = L.Conv2D(8, 3, bias_initializer="random_uniform")(L.ZeroPadding2D(1)(x))
    return L.Add()([x, y])


def reshaped_block(x: Any) -> Any:
    y = L.Reshape((HEIGHT // 2, WIDTH // 2, 8))(L.Reshape((-1, 8))(x))
    return L.Add()([x, convolution(y, 8)])


def bottleneck(x: Any) -> Any:
    y = L.ReLU()(convolution(L.ReLU()(convolution(x, 4)), 4, 3))
    return L.ReLU()(L.Add()([x, convolution(y, 8)]))


def projected_block(x: Any) -> Any:
    return L.ReLU()(L.Add()([convolution(x, 8), convolution(L.ReLU()(convolution(x, 4)), 8)]))


def build_graph(block: Any, *, within: bool = False) -> FrozenGraph:
    """Six blocks; with ``within`` the tensors between them are outputs."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.MaxPooling2D()(L.ReLU()(convolution(x, 8, 3)))
    feature_maps = [x := block(x) for _ in range(6)]
    model = keras.Model(inputs, [L.GlobalAveragePooling2D()(x), *(feature_maps[2:4] if within else ())])

    def forward(images: Any) -> list[Any]:
        return [tf.identity(one) for one in tf.nest.flatten(model(tf.cast(images, tf.float32) / 255, training=False))]

    return freeze(trace(forward))


@pytest.mark.parametrize("within", [False, True], ids=["end", "within"])
@pytest.mark.parametrize("block", [with_itself, padded_block, reshaped_block, bottleneck, projected_block])
def test_runs_at_once_do_not_disturb_each_other(block: Any, within: bool) -> None:
    running = build_graph(block, within=within).load("cpu")
    batches = [random_images(2, seed) for seed in range(8)]
    expected = [running(images) for images in batches]
    wrong: list[int] = []

    def run(first: int) -> None:
        for number in range(150):
            which = (first + 3 * number) % len(batches)
            got = running(batches[which])
            if not all(np.array_equal(one, other) for one, other in zip(got, expected[which], strict=True)):
                wrong.append(which)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("block", [bottleneck, projected_block])
def test_sums_without_another_reader_are_fused(block: Any) -> None:
    ran = executed_ops(build_graph(block), random_images(2))
    if not ran["_MklNativeFusedConv2D"]:
        pytest.skip("TensorFlow fuses sums on this CPU with nothing")
    assert not {"Snapshot", "AddV2", "_MklNativeAddV2"} & ran.keys()


@pytest.mark.parametrize("slope", [0.1, 0.2, 0.3])
def test_leaky_relus_behind_sums_keep_their_slope(slope: float) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = convolution(inputs, 8, 3) - 2
    total = L.Add()([x, convolution(x, 8, 3)])
    model = keras.Model(inputs, L.LeakyReLU(negative_slope=slope)(total))
    images = random_images(2)
    # Not inside of a function: TensorFlow's own is wrong.
    sums = keras.Model(inputs, total)(tf.constant(images, tf.float32)).numpy()
    frozen = freeze(trace(lambda images: [model(tf.cast(images, tf.float32), training=False)]))
    got = frozen.load("cpu")(images)[0]
    np.testing.assert_allclose(got, np.where(sums > 0, sums, slope * sums), rtol=1e-4, atol=1e-3)
