"""The models of tf-explain's tests, and what its explainers compute on them, in streamcam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.tf import keras, tf
from streamcam.training import ExplainCallback

L = keras.layers
CLASSES = 10
TARGET = 3

METHODS: dict[str, dict[str, Any]] = {
    "gradcam": {},
    "occlusion": {"patch": 7, "stride": 7},
    "activations": {},
    "smoothgrad": {"steps": 5},
    "integrated-gradients": {"steps": 10},
    "gradient-x-input": {},
    "saliency": {},
}
"""What its seven explainers are here, with their settings."""


def small(head: str, side: int = 28) -> Any:
    """One convolution on color images and two classes, with a softmax inside, after or without the dense layer."""
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((side, side, 3))
    x = L.Conv2D(16, 3, name="conv_1")(x)
    x = L.Flatten()(L.ReLU(name="activation_1")(x))
    x = L.Dense(2, activation="softmax" if head == "inside" else None, name="scores")(x)
    return keras.Model(inputs, L.Softmax()(x) if head == "after" else x)


def digits(api: str) -> Any:
    """Four convolutions on grayscale images and ten classes, in one of the APIs of Keras."""
    keras.utils.set_random_seed(2)

    def stack() -> list[Any]:
        return [
            *(L.Conv2D(8, 3, activation="relu"), L.Conv2D(16, 3, activation="relu"), L.MaxPooling2D()),
            *(L.Conv2D(8, 3, activation="relu"), L.Conv2D(16, 3, activation="relu", name="target"), L.MaxPooling2D()),
            *(L.Flatten(), L.Dense(64, activation="relu"), L.Dense(CLASSES, activation="softmax")),
        ]

    if api == "sequential":
        return keras.Sequential([keras.Input((28, 28, 1)), *stack()])
    if api == "subclassed":
        return Subclassed(stack())
    x = inputs = keras.Input((28, 28, 1))
    for layer in stack():
        x = layer(x)
    return keras.Model(inputs, x)


class Subclassed(keras.Model):
    """Layers in a list, called one after another."""

    def __init__(self, stack: list[Any]) -> None:
        super().__init__()
        self.stack = stack
        self(np.zeros((1, 28, 28, 1), np.float32))

    def call(self, inputs: Any) -> Any:
        x = inputs
        for layer in self.stack:
            x = layer(x)
        return x


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(0).integers(0, 256, (4, 28, 28, 3), np.uint8)


def explainer(model: Any, method: str, target: int, **options: Any) -> streamcam.Explainer:
    return streamcam.Explainer(
        model, method, target=target, params=METHODS[method], preprocess="0..1", precision="float32", **options
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_explainer_has_a_method(method: str, images: Any) -> None:
    found = explainer(small("inside"), method, target=1).explain(images)
    height, width = found.maps.shape[1:]
    assert len(found.maps) == len(images)
    assert (height, width) == {"gradcam": (26, 26), "activations": (26, 26), "occlusion": (4, 4)}.get(method, (28, 28))
    assert np.isfinite(found.maps).all()
    assert np.ptp(found.maps, axis=(1, 2)).min() > 0
    assert found.probabilities.shape == (4,)


@pytest.mark.parametrize("head", ["inside", "after", "none"])
def test_gradients_are_those_of_the_score_wherever_the_softmax_is(head: str, images: Any) -> None:
    """tf-explain wants the softmax in a layer of its own, and else explains the probability with a warning."""
    model = small(head)
    found = explainer(model, "saliency", target=1).explain(images)
    scores = keras.Model(model.input, model.get_layer("scores").input)
    x = tf.constant(images.astype(np.float32) / 255)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = tf.linalg.matvec(scores(x), model.get_layer("scores").kernel[:, 1])
    expected = np.abs(tape.gradient(score, x).numpy()).max(axis=3)
    # Gradients with respect to what the model takes: 0 to 1.
    np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-6)


def test_activations_are_the_mean_of_the_channels_that_tf_explain_draws(images: Any) -> None:
    model = small("inside")
    mean = explainer(model, "activations", target=0, layer="activation_1").explain(images)
    feature_map = keras.Model(model.input, model.get_layer("activation_1").output).predict(
        images / np.float32(255), verbose=0
    )
    np.testing.assert_allclose(mean.maps, feature_map.mean(axis=3), rtol=1e-4, atol=1e-6)


def test_the_api_of_keras_makes_no_difference(images: Any) -> None:
    """tf-explain's own test of its callbacks omits the subclassed model."""
    weights = digits("functional").get_weights()
    maps = {}
    for api in ("functional", "sequential", "subclassed"):
        model = digits(api)
        model.set_weights(weights)
        maps[api] = explainer(model, "gradcam", target=TARGET, layer="target").explain(images).maps
    np.testing.assert_allclose(maps["sequential"], maps["functional"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(maps["subclassed"], maps["functional"], rtol=1e-4, atol=1e-6)
    assert np.ptp(maps["functional"]) > 0


def test_the_callback_takes_the_subclassed_model(images: Any) -> None:
    model = digits("subclassed")
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = images[..., :1].astype(np.float32) / 255, np.arange(4)
    logged = []

    class Logger:
        def log_image(self, key: str, image: Any, step: int) -> None:
            logged.append((key, step, image.dtype, image.ndim))

    callback = ExplainCallback(
        (x, y), methods=["gradcam", "activations"], layer="target", loggers=[Logger()], images="grid"
    )
    model.fit(x, y, epochs=1, callbacks=[callback], verbose=0)
    assert not callback.failures
    expected = [(f"{method}/grid", step) for step in (0, 1) for method in ("gradcam", "activations")]
    assert logged == [(*one, np.uint8, 3) for one in expected]


def test_occlusion_takes_images_that_are_not_square(images: Any) -> None:
    """tf-explain never covers a part of such images."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((14, 28, 3))
    mask = np.zeros((14, 28, 3), np.float32)
    mask[:7, 21:] = 1  # the score is the brightness of the upper right patch
    score = keras.ops.sum(inputs * mask, axis=(1, 2, 3))
    model = keras.Model(inputs, keras.ops.stack([score, -score], axis=1))
    bright = np.full((14, 28, 3), 255, np.uint8)
    (found,) = explainer(model, "occlusion", target=0).explain(bright[None]).maps
    assert found.shape == (2, 4)
    assert np.unravel_index(found.argmax(), found.shape) == (0, 3)
    assert np.count_nonzero(np.abs(found) > 1e-6) == 1
