"""EfficientNet-Lite0 as TensorFlow operations on constants, batch norm folded by NumPy: the bound's forward pass.

It shares no code with streamcam, so that the bound cannot share its mistakes.
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lite0
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def build(path: Path) -> Callable[[Any], tuple[Any, Any]]:
    """Build a function: ``uint8 (N, 224, 224, 3)`` RGB → logits ``(N, 1000)``, head input ``(N, 7, 7, 1280)``."""
    arrays = lite0.weights(path)

    def fold_batch_norm(*, depthwise: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        kernel, scale, offset, mean, variance = (next(arrays) for _ in range(5))
        factor = scale / np.sqrt(variance + lite0.EPSILON)
        return kernel * (factor[:, None] if depthwise else factor), offset - mean * factor

    def convolution(x: Any, values: tuple[Any, Any], stride: int = 1, *, depthwise: bool = False) -> Any:
        run = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
        return tf.nn.bias_add(run(x, values[0], strides=[1, stride, stride, 1], padding="SAME"), values[1])

    stem = fold_batch_norm()
    body = [
        (block, fold_batch_norm() if block.expand > 1 else None, fold_batch_norm(depthwise=True), fold_batch_norm())
        for block in lite0.blocks()
    ]
    head = fold_batch_norm()
    classifier, bias = next(arrays), next(arrays)

    def forward(images: Any) -> tuple[Any, Any]:
        x = (tf.cast(images, tf.float32) - 127) / 128
        x = tf.nn.relu6(convolution(x, stem, 2))
        for block, expand, depthwise, project in body:
            before = x
            if expand is not None:
                x = tf.nn.relu6(convolution(x, expand))
            x = tf.nn.relu6(convolution(x, depthwise, block.stride, depthwise=True))
            x = convolution(x, project)
            if block.residual:
                x = before + x
        feature_map = tf.nn.relu6(convolution(x, head))
        return tf.reduce_mean(feature_map, (1, 2)) @ classifier + bias, feature_map

    return forward
