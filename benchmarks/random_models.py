"""Models of `keras.applications` with random weights, for ``--model benchmarks.random_models:NAME``.

Speed does not depend on the weights, and published ones would have to be downloaded. The statistics of batch
normalisation are set from noise, so that activations neither vanish nor grow.
"""

from __future__ import annotations

from typing import Any


def resnet50() -> Any:
    return _build("ResNet50")


def mobilenet_v2() -> Any:
    return _build("MobileNetV2")


def _build(name: str) -> Any:
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    noise = np.random.default_rng(0).normal(0, 0.5, (4, 224, 224, 3)).astype(np.float32)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(noise, training=True)
    return model
