"""A model whose heatmap is known exactly: the brightness of each 16×16 cell of its input."""

from __future__ import annotations

from typing import Any

from streamcam.tf import keras

STRIDE = 16
INPUT_SIZE = (112, 112)


def brightness() -> Any:
    """Logit of class 1: mean over the 16×16 cells of ReLU(mean RGB of the cell / 255 − 0.25)."""
    return _brightness((None, None, 3))


def brightness_of_fixed_size() -> Any:
    return _brightness((INPUT_SIZE[1], INPUT_SIZE[0], 3))


def not_a_number() -> Any:
    """A classifier whose logits are NaN for every image."""
    inputs = keras.Input((INPUT_SIZE[1], INPUT_SIZE[0], 3))
    x = keras.layers.Conv2D(2, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(2, activation="softmax", bias_initializer=_constant(float("nan")))(x)
    return keras.Model(inputs, outputs)


def _brightness(shape: Any) -> Any:
    layers = keras.layers
    x = inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 255)(x)
    x = layers.AveragePooling2D(STRIDE)(x)
    x = layers.Conv2D(
        1, 1, name="evidence", activation="relu", kernel_initializer=_constant(1 / 3), bias_initializer=_constant(-0.25)
    )(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(2, activation="softmax", kernel_initializer=keras.initializers.Constant([[-1.0, 1.0]]))(x)
    return keras.Model(inputs, x)


def _constant(value: float) -> Any:
    return keras.initializers.Constant(value)
