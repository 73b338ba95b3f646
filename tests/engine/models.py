"""Small classifiers of every build, with random biases and batch-norm statistics for folding to do something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from streamcam.tf import keras, tf

L = keras.layers
CLASSES = 5
WIDTH, HEIGHT = 48, 32  # not square: a swap of the axes must show
MAP_SIZE = (HEIGHT // 8, WIDTH // 8)


def randomize_weights(model: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(rng.uniform(-0.1, 0.3, layer.bias.shape))
    return model


def features(x: Any) -> Any:
    """Convolutions with and without bias, depthwise ones, batch norm behind each; stride 8."""
    x = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    x = L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x)
    x = L.Activation("relu")(L.BatchNormalization(scale=False)(x))
    shortcut = x
    x = L.BatchNormalization(name="linear_bn")(L.Conv2D(16, 1, name="linear")(x))
    x = L.Add()([x, shortcut])
    x = L.Conv2D(12, 3, strides=2, padding="same")(x)
    return L.ReLU(name="last")(L.BatchNormalization()(x))


def functional() -> Any:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.GlobalAveragePooling2D()(features(x))
    return randomize_weights(keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x)))


def any_size() -> Any:
    x = inputs = keras.Input((None, None, 3))
    x = L.GlobalAveragePooling2D()(features(x))
    return randomize_weights(keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x)))


def separate_softmax() -> Any:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Dense(CLASSES, name="predictions")(L.GlobalAveragePooling2D()(features(x)))
    return randomize_weights(keras.Model(inputs, L.Softmax()(x)))


def logits_only() -> Any:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    return randomize_weights(
        keras.Model(inputs, L.Dense(CLASSES, name="predictions")(L.GlobalAveragePooling2D()(features(x))))
    )


def sequential() -> Any:
    return randomize_weights(
        keras.Sequential(
            [
                keras.Input((HEIGHT, WIDTH, 3)),
                L.Conv2D(8, 3, strides=8, padding="same", activation="relu", name="last"),
                L.MaxPooling2D(2),
                L.Flatten(),
                L.Dense(CLASSES, activation="softmax", name="predictions"),
            ]
        )
    )


def nested_model() -> Any:
    x = inside = keras.Input((HEIGHT, WIDTH, 3))
    backbone = keras.Model(inside, features(x), name="backbone")
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.GlobalAveragePooling2D()(backbone(x))
    return randomize_weights(keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x)))


@keras.saving.register_keras_serializable("streamcam-tests")
class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = L.Conv2D(8, 3, strides=8, padding="same", name="convolution")
        self.norm = L.BatchNormalization(name="norm")
        self.pool = L.GlobalAveragePooling2D()
        self.predictions = L.Dense(CLASSES, name="predictions")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = tf.nn.relu(self.norm(self.convolution(inputs), training=training))
        return tf.nn.softmax(self.predictions(self.pool(x)))


def subclassed_model() -> Any:
    model = Subclassed()
    model(np.zeros((1, HEIGHT, WIDTH, 3), np.float32))
    return randomize_weights(model)


def one_sigmoid() -> Any:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.GlobalAveragePooling2D()(features(x))
    return randomize_weights(keras.Model(inputs, L.Dense(1, activation="sigmoid", name="predictions")(x)))


def nested_twice() -> Any:
    inside = keras.Input((HEIGHT, WIDTH, 3))
    backbone = keras.Model(inside, features(inside), name="backbone")
    between = keras.Input((HEIGHT, WIDTH, 3))
    middle = keras.Model(between, backbone(between), name="middle")
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.GlobalAveragePooling2D()(middle(inputs))
    return randomize_weights(keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x)))


def two_inputs() -> Any:
    """Images, and four numbers per image; named inputs in a dict."""
    image, numbers = keras.Input((HEIGHT, WIDTH, 3), name="image"), keras.Input((4,), name="numbers")
    x = L.GlobalAveragePooling2D()(features(image))
    x = L.Concatenate()([x, L.Dense(3)(numbers)])
    output = L.Dense(CLASSES, activation="softmax", name="predictions")(x)
    return randomize_weights(keras.Model({"image": image, "numbers": numbers}, output))


def shared_backbone() -> Any:
    """One convolution is used twice."""
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = features(inputs)
    again = L.Conv2D(12, 3, padding="same", activation="relu", name="again")
    x = L.GlobalAveragePooling2D()(again(again(x)))
    return randomize_weights(keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x)))


def many_sigmoids() -> Any:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.GlobalAveragePooling2D()(features(x))
    return randomize_weights(keras.Model(inputs, L.Dense(CLASSES, activation="sigmoid", name="predictions")(x)))


def mixed_precision() -> Any:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        return functional()
    finally:
        keras.mixed_precision.set_dtype_policy(before)


BUILDS: dict[str, Callable[[], Any]] = {
    "functional": functional,
    "separate_softmax": separate_softmax,
    "logits_only": logits_only,
    "sequential": sequential,
    "nested": nested_model,
    "subclassed": subclassed_model,
    "one_sigmoid": one_sigmoid,
}

EVERY_BUILD: dict[str, Callable[[], Any]] = {
    **BUILDS,
    "nested_twice": nested_twice,
    "two_inputs": two_inputs,
    "shared": shared_backbone,
    "many_sigmoids": many_sigmoids,
    "mixed_precision": mixed_precision,
}
