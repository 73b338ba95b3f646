"""Models that are there already, given from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

from .error_message import message

layers = keras.layers


def head(classes: int, activation: str = "softmax") -> list[Any]:
    return [layers.GlobalAveragePooling2D(), layers.Dense(classes, activation=activation)]


def classifier(classes: int = 4, activation: str = "softmax") -> Any:
    return keras.Sequential(
        [keras.Input((20, 30, 3)), layers.Conv2D(5, 3, activation="relu"), *head(classes, activation)]
    )


def test_a_model_that_is_there_already() -> None:
    original = classifier()
    names = ["a", "b", "c", "d"]
    loaded = load_model(ModelOptions(model=original, preprocess=lambda images: images / 2, labels=names))
    assert loaded.model is original
    assert (loaded.name, loaded.input_size, loaded.labels) == (original.name, (30, 20), tuple(names))
    assert (loaded.preprocess_name, loaded.notes) == ("<lambda>", ())
    rgb_images = np.random.default_rng(0).random((2, 20, 30, 3), np.float32)
    np.testing.assert_array_equal(loaded.preprocess(rgb_images), rgb_images / 2)
    np.testing.assert_allclose(loaded.call(rgb_images), original(rgb_images), atol=1e-6)
    assert load_model(ModelOptions(model=original, preprocess=None)).preprocess_name == "none"


@pytest.mark.slow
def test_what_is_guessed_of_a_model_that_is_there_already() -> None:
    loaded = load_model(ModelOptions(model=keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))))
    assert (loaded.preprocess_name, loaded.labels[258]) == ("mobilenet_v2", "Samoyed")
    assert loaded.notes[0].startswith(
        f"preprocess mobilenet_v2: the model is named {loaded.name}; override with --preprocess"
    )
    takes_bytes = keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), layers.Rescaling(1 / 255), *head(2)])
    assert load_model(ModelOptions(model=takes_bytes)).notes[0].endswith("takes uint8")


def test_several_sigmoid_units_are_several_classes() -> None:
    loaded = load_model(ModelOptions(model=classifier(classes=3, activation="sigmoid")))
    assert loaded.labels == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize("model", [{"a": 1}, None, lambda x: x, layers.Dense(2), keras.Model])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=model))
    assert message(caught).startswith(f"model is a {type(model).__name__}; expected a keras.Model of Keras 3")


def test_the_only_output_may_be_in_a_dict() -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, {"scores": layers.Dense(2)(layers.Flatten()(inputs))})
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    found = load_model(ModelOptions(model=model)).call(images)
    np.testing.assert_array_equal(found, model(images)["scores"])


def nested_model(inner: Any) -> Any:
    outer = keras.Sequential([keras.Input((8, 8, 3)), keras.Sequential([inner], name="inside"), *head(2)])
    return keras.Sequential([keras.Input((8, 8, 3)), outer])


class Holding(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = keras.Sequential([layers.Conv2D(3, 3, data_format="channels_first", name="deep")])

    def call(self, x: Any) -> Any:
        raise AssertionError("must not be run")


@pytest.mark.parametrize(
    "build",
    [
        lambda: nested_model(layers.Conv2D(2, 3, data_format="channels_first", name="deep")),
        lambda: nested_model(layers.AveragePooling2D(2, data_format="channels_first", name="deep")),
        Holding,
    ],
)
def test_channels_first_anywhere_inside(build: Callable[[], Any]) -> None:
    model = build()
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=model))
    assert message(caught) == (
        f"layer deep of {model.name} has data_format channels_first; channels_first is not supported; expected RGB "
        "images (N, height, width, 3); build the model with data_format='channels_last' and copy the weights: "
        "the kernels have the same layout"
    )


class Changing(keras.Model):
    """Counts its calls in three ways, and in the state of a dropout that is never off."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Conv2D(3, 3)
        self.norm = layers.BatchNormalization()
        self.noise = layers.Dropout(0.5, seed=1)
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)
        self.of_tensorflow = tf.Variable(5.0)
        self.end = layers.Dense(2)

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        self.of_tensorflow.assign_add(1.0)
        x = self.noise(self.norm(self.first(x), training=True), training=True)
        return self.end(keras.ops.mean(x, axis=(1, 2)))

    def state(self) -> list[Any]:
        return [np.array(one) for one in (*self.non_trainable_variables, *self.noise.variables, self.of_tensorflow)]


def test_looking_at_a_model_leaves_its_variables_as_they_were() -> None:
    model = Changing()
    load_model(ModelOptions(model=model))
    began = model.state()
    assert float(model.calls) == 0
    np.testing.assert_array_equal(model.norm.moving_mean, np.zeros(3))
    np.testing.assert_array_equal(model.norm.moving_variance, np.ones(3))
    assert float(model.of_tensorflow) == 5
    model(np.random.default_rng(0).random((1, 20, 30, 3), np.float32))
    changed = model.state()
    assert all((one != other).any() for one, other in zip(began, changed, strict=True))
    load_model(ModelOptions(model=model))
    for one, other in zip(changed, model.state(), strict=True):
        np.testing.assert_array_equal(one, other)
