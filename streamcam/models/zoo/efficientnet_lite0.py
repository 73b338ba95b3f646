"""EfficientNet-Lite0 (Tan, Le 2019, arXiv:1905.11946; the "Lite" variant of 2020) for ImageNet-1k, with its weights.

A stack of inverted residual blocks without squeeze-and-excite, with ReLU6, fully convolutional up to the pooling: it
accepts any input size and was trained at 224×224. The package stores the weights as float16; they are used as float32.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from ...tf import keras

WEIGHTS = "data/efficientnet_lite0.npz"


class Stage(NamedTuple):
    """Blocks with feature maps of one size: the first changes size and channels, the others keep them."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000
STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expand=1, channels=16),
    Stage(repeats=2, kernel=3, stride=2, expand=6, channels=24),
    Stage(repeats=2, kernel=5, stride=2, expand=6, channels=40),
    Stage(repeats=3, kernel=3, stride=2, expand=6, channels=80),
    Stage(repeats=3, kernel=5, stride=1, expand=6, channels=112),
    Stage(repeats=4, kernel=5, stride=2, expand=6, channels=192),
    Stage(repeats=1, kernel=3, stride=1, expand=6, channels=320),
)


def preprocess(images: Any) -> Any:
    """Scale float32 ``(N, H, W, 3)`` RGB 0–255 to about -1…1, as in training: ``(x - 127) / 128``."""
    return (images - 127.0) / 128.0


def load() -> Any:
    """Load the network with its ImageNet weights: float32 ``(N, H, W, 3)``, preprocessed → ``(N, 1000)``."""
    model = build()
    with files("streamcam.models").joinpath(WEIGHTS).open("rb") as file, np.load(file) as stored:
        for variable in model.weights:
            variable.assign(stored[variable.path].astype(np.float32))
    return model


def build() -> Any:
    """Build the network with all weights zero: a functional `keras.Model` of input ``(None, None, None, 3)``."""
    inputs = keras.Input((None, None, 3), name="image")
    x = _conv(inputs, STEM_CHANNELS, 3, "stem_conv", stride=2)
    x = _relu6(_norm(x, "stem_bn"), "stem_activation")
    number = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            x = _block(x, stage, stage.stride if repeat == 0 else 1, f"block{number}_")
            number += 1
    x = _conv(x, HEAD_CHANNELS, 1, "top_conv")
    x = _relu6(_norm(x, "top_bn"), "top_activation")
    x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax", kernel_initializer="zeros", name="predictions")(x)
    return keras.Model(inputs, outputs, name="efficientnet_lite0")


def _block(inputs: Any, stage: Stage, stride: int, prefix: str) -> Any:
    x = inputs
    if stage.expand > 1:
        x = _conv(x, stage.expand * inputs.shape[-1], 1, f"{prefix}expand_conv")
        x = _relu6(_norm(x, f"{prefix}expand_bn"), f"{prefix}expand_activation")
    x = keras.layers.DepthwiseConv2D(
        stage.kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="zeros",
        name=f"{prefix}depthwise",
    )(x)
    x = _relu6(_norm(x, f"{prefix}depthwise_bn"), f"{prefix}depthwise_activation")
    x = _norm(_conv(x, stage.channels, 1, f"{prefix}project_conv"), f"{prefix}project_bn")
    if stride == 1 and inputs.shape[-1] == stage.channels:
        x = keras.layers.Add(name=f"{prefix}add")([x, inputs])
    return x


def _conv(x: Any, channels: int, kernel: int, name: str, *, stride: int = 1) -> Any:
    # Zeros: drawing four million random numbers, to be overwritten at once, would take longer than all the rest.
    return keras.layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="zeros", name=name
    )(x)


def _norm(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=1e-3, name=name)(x)


def _relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(max_value=6.0, name=name)(x)
