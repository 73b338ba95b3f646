"""Networks whose explanations can be computed by hand, all on images that are not square."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamcam.tf import keras, tf
from tests.engine.models import HEIGHT, WIDTH, randomize_weights

L = keras.layers
CLASSES = 3
MAP_SIZE = (HEIGHT // 8, WIDTH // 8)


def net(*, flat: bool = False, activation: str = "relu", bias: bool = True, seed: int = 3) -> Any:
    """Two convolutions, ``last`` is the second; averaged or flattened into one dense layer ``predictions``."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(6, 3, strides=4, padding="same", activation=activation, use_bias=bias)(x)
    x = L.Conv2D(5, 3, strides=2, padding="same", activation=activation, use_bias=bias, name="last")(x)
    x = L.Flatten()(x) if flat else L.GlobalAveragePooling2D()(x)
    output = L.Dense(CLASSES, activation="softmax", use_bias=bias, name="predictions")(x)
    return randomize_weights(keras.Model(inputs, output), seed)


def linear() -> Any:
    """Logits are a matrix times the pixels."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    return keras.Model(inputs, L.Dense(CLASSES, name="predictions")(L.Flatten()(inputs)))


def quadratic() -> Any:
    """Logits are a matrix times the squares of the pixels."""
    keras.utils.set_random_seed(6)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    squares = L.Flatten()(keras.ops.square(inputs))
    return keras.Model(inputs, L.Dense(CLASSES, name="predictions")(squares))


def weights_of(model: Any) -> Any:
    """Of the last layer, float64, with or without bias."""
    return [w.astype(np.float64) for w in model.get_layer("predictions").get_weights()]


def reference_gradients(model: Any, inputs: Any, index: int) -> tuple[Any, Any, Any, Any]:
    """Keras and a tape: the logit of a class, ``last``'s output, and the logit's gradients to it and to the input."""
    head = model.get_layer("predictions")
    parts = [layer for layer in model.layers if layer.name == "last"]
    inside = keras.Model(model.inputs, [parts[0].output if parts else model.inputs[0], head.input])
    x = tf.constant(inputs.astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        feature_map, features = inside(x)
        logits = features @ head.kernel + (head.bias if head.use_bias else 0.0)
        logit = logits[:, index]
    return tuple(
        value.numpy().astype(np.float64)
        for value in (logit, feature_map, tape.gradient(logit, feature_map), tape.gradient(logit, x))
    )


def logits_of(model: Any, inputs: Any) -> Any:
    """Float64 ``(n, classes)``, with no softmax."""
    head = model.get_layer("predictions")
    inside = keras.Model(model.inputs, head.input)
    kernel, *bias = weights_of(model)
    return inside.predict(inputs, verbose=0).astype(np.float64) @ kernel + (bias[0] if bias else 0.0)
