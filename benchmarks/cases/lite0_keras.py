"""EfficientNet-Lite0 in Keras 2, from the plain list of weights."""

from __future__ import annotations

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# On as streamcam turns it on, also where TensorFlow would not by itself.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lite0
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

TARGET_LAYER = "head"


def build(path: Path) -> Any:
    """Build a functional `tf.keras.Model`: normalised images → logits; layer ``head`` has the last feature map."""
    layers = tf.keras.layers
    arrays = lite0.weights(path)
    filled: list[tuple[Any, list[NDArray[np.float32]]]] = []

    def normalize(convolution: Any, x: Any) -> Any:
        norm = layers.BatchNormalization(epsilon=lite0.EPSILON)
        filled.extend(((convolution, _next(arrays, 1)), (norm, _next(arrays, 4))))
        return norm(convolution(x))

    def pointwise(outputs: int) -> Any:
        return layers.Conv2D(outputs, 1, use_bias=False)

    def activate(x: Any, name: str | None = None) -> Any:
        return layers.ReLU(6.0, name=name)(x)

    images = x = tf.keras.Input((lite0.INPUT, lite0.INPUT, 3))
    x = activate(normalize(layers.Conv2D(lite0.STEM, 3, 2, padding="same", use_bias=False), x))
    for block in lite0.blocks():
        before = x
        if block.expand > 1:
            x = activate(normalize(pointwise(block.inputs * block.expand), x))
        depthwise = layers.DepthwiseConv2D(block.kernel, block.stride, padding="same", use_bias=False)
        x = activate(normalize(depthwise, x))
        x = normalize(pointwise(block.outputs), x)
        if block.residual:
            x = layers.Add()([before, x])
    x = activate(normalize(pointwise(lite0.HEAD), x), TARGET_LAYER)
    classifier = layers.Dense(lite0.CLASSES)
    filled.append((classifier, _next(arrays, 2)))
    model = tf.keras.Model(images, classifier(layers.GlobalAveragePooling2D()(x)))
    for layer, values in filled:
        layer.set_weights(values)
    return model


def _next(arrays: Iterator[NDArray[np.float32]], count: int) -> list[NDArray[np.float32]]:
    return [next(arrays) for _ in range(count)]
