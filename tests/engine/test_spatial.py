"""Feature maps whose aspect ratio is not that of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.tf import keras, tf

L = keras.layers
CLASSES = 4
WIDE = (90, 160)


def head(x: Any) -> Any:
    return L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x))


def resized_model() -> Any:
    """A feature map of the whole image, and a square one after `Resizing`."""
    inputs = keras.Input((*WIDE, 3))
    x = L.Conv2D(6, 3, activation="relu", name="early")(L.Rescaling(1 / 255)(inputs))
    x = L.Conv2D(8, 3, strides=4, padding="same", activation="relu", name="late")(L.Resizing(64, 64)(x))
    return keras.Model(inputs, head(x))


def resized_from_any_size() -> Any:
    inputs = keras.Input((None, None, 3))
    x = L.Resizing(64, 64)(L.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, head(L.Conv2D(8, 3, strides=4, activation="relu", name="late")(x)))


def enlarged_model() -> Any:
    """More rows and columns than the image has."""
    inputs = keras.Input((*WIDE, 3))
    x = L.Resizing(224, 224)(L.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, head(L.Conv2D(4, 3, padding="same", activation="relu", name="late")(x)))


def pooled_down_only() -> Any:
    """As in networks that read text: high and narrow positions."""
    inputs = keras.Input((*WIDE, 3))
    x = L.Conv2D(6, 3, padding="same", activation="relu")(L.Rescaling(1 / 255)(inputs))
    x = L.Conv2D(8, 3, padding="same", activation="relu", name="late")(L.MaxPooling2D((30, 2))(x))
    return keras.Model(inputs, head(x))


def padded_to_a_square() -> Any:
    inputs = keras.Input((60, 160, 3))
    x = L.ZeroPadding2D(((50, 50), (0, 0)))(L.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, head(L.Conv2D(8, 8, strides=8, activation="relu", name="late")(x)))


BUILDS = [resized_model, resized_from_any_size, enlarged_model, pooled_down_only, padded_to_a_square]


def hirescam_of(model: Any, images: Any, target: int) -> Any:
    """Eagerly, by a tape."""
    late = model.get_layer("late")
    feature_map = keras.Model(model.inputs[0], late.output)(images)
    with tf.GradientTape() as tape:
        tape.watch(feature_map)
        score = keras.Model(late.output, model.outputs)(feature_map)
        score = (score[0] if isinstance(score, list) else score)[:, target]
    return np.sum(feature_map * tape.gradient(score, feature_map), axis=3)


@pytest.mark.parametrize("build", BUILDS)
def test_auto_takes_the_last_feature_map_of_any_aspect(build: Any) -> None:
    keras.utils.set_random_seed(5)
    model = build()
    explainer = streamcam.Explainer(model, "hirescam", preprocess=None, precision="float32", target=1)
    height, width = model.inputs[0].shape[1:3]
    if height is None:
        ((width, height),) = {one.input for one in explainer.explain(np.zeros((180, 320, 3), np.uint8)).geometries}
        assert width > 1.5 * height
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    found = explainer.explain(images)
    assert found.layer == "late"
    expected = hirescam_of(model, images.astype(np.float32), 1)
    np.testing.assert_allclose(found.maps, expected, atol=1e-5 * np.abs(expected).max())


def test_tokens_and_heads_are_no_feature_map_after_resizing_either() -> None:
    keras.utils.set_random_seed(6)
    inputs = keras.Input((*WIDE, 3))
    x = L.Conv2D(8, 16, strides=16, activation="relu", name="patches")(L.Resizing(64, 64)(L.Rescaling(1 / 255)(inputs)))
    heads = keras.ops.reshape(L.Reshape((16, 8), name="tokens")(x), (-1, 16, 2, 4))
    heads = L.Activation("tanh", name="heads")(heads)
    model = keras.Model(inputs, L.Dense(CLASSES)(keras.ops.mean(heads, axis=(1, 2))))
    found = streamcam.Explainer(model, preprocess=None).explain(np.zeros((*WIDE, 3), np.uint8))
    assert found.layer == "tokens"
    assert found.maps.shape == (1, 4, 4)


def test_what_was_globally_pooled_is_no_feature_map_again() -> None:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((*WIDE, 3))
    x = L.Conv2D(8, 3, strides=8, activation="relu", name="late")(L.Rescaling(1 / 255)(inputs))
    pooled = L.GlobalAveragePooling2D(keepdims=True)(x)
    upsampled = L.Conv2DTranspose(8, (3, 9), name="spread")(pooled)
    model = keras.Model(inputs, head(upsampled))
    assert streamcam.Explainer(model, preprocess=None).explain(np.zeros((*WIDE, 3), np.uint8)).layer == "late"
