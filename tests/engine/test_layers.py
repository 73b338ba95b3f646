"""Which layers can be explained, on nets that hide them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compile import survey_model
from streamcam.errors import LayerError, ModelError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf
from tests.marks import pairs

from . import models
from .executables import build_executable, load, outputs_of, random_images, scale
from .models import CLASSES, HEIGHT, MAP_SIZE, WIDTH

pytestmark = pytest.mark.slow

L = keras.layers
NUM_POSITIONS = MAP_SIZE[0] * MAP_SIZE[1]


class Late(keras.Model):
    """Computes on behind its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.last = L.Conv2D(8, 3, strides=8, padding="same", name="last")
        self.pool = L.MaxPooling2D(2, name="pool")
        self.predictions = L.Dense(CLASSES, name="predictions")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.pool(tf.nn.relu(self.last(inputs)))
        return tf.nn.softmax(self.predictions(tf.reshape(x, (-1, (MAP_SIZE[0] // 2) * (MAP_SIZE[1] // 2) * 8))))


def late() -> Any:
    model = Late()
    model(np.zeros((1, HEIGHT, WIDTH, 3), np.float32))
    return models.randomize_weights(model)


def test_auto_takes_what_a_call_makes_behind_its_last_layer() -> None:
    model, images = late(), random_images(2)
    executable = build_executable(model, "activations")
    assert executable.layer == "relu"
    expected = np.maximum(np.asarray(model.last(scale(images.astype(np.float32)))), 0).mean(3)
    np.testing.assert_allclose(executable(images).maps[:, 0], expected, atol=1e-5)
    before = build_executable(model, "activations", layer="last")(images).maps[:, 0]
    assert (before < 0).any()
    np.testing.assert_array_equal(
        build_executable(model, "gradcam", layer="relu")(images).maps, build_executable(model, "gradcam")(images).maps
    )


@pytest.mark.slow
def test_each_call_of_a_shared_layer_can_be_named() -> None:
    model, images = models.shared_backbone(), random_images(2)
    rows = {row.path: row for row in survey_model(load(model), (WIDTH, HEIGHT))}
    assert rows["again"].chosen
    assert rows["again#1"].usable
    again = model.get_layer("again")
    first = outputs_of(model, model.get_layer("last"), images)
    once = np.asarray(again(first))
    for layer, expected in (("again#1", once), ("again", np.asarray(again(once)))):
        got = build_executable(model, "activations", layer=layer)(images).maps[:, 0]
        np.testing.assert_allclose(got, expected.mean(3), atol=1e-5)


class ClassToken(L.Layer):
    def __init__(self, *, at_end: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.at_end = at_end

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="token")

    def call(self, tokens: Any) -> Any:
        count = keras.ops.shape(tokens)[0]
        both = [keras.ops.repeat(self.token, count, axis=0), tokens]
        return keras.ops.concatenate(both[::-1] if self.at_end else both, axis=-2 if self.at_end else 1)


def transformer(*, class_token: bool) -> Any:
    keras.utils.set_random_seed(2)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Reshape((NUM_POSITIONS, 16))(L.Conv2D(16, 8, strides=8, name="patches")(inputs))
    if class_token:
        x = ClassToken(name="class_token")(x)
    for n in range(2):
        y = L.LayerNormalization(name=f"before_attention{n}")(x)
        x = L.Add(name=f"attended{n}")([x, L.MultiHeadAttention(2, 8)(y, y)])
        x = L.Add(name=f"block{n}")([x, L.Dense(16)(L.Dense(32, activation="gelu")(x))])
    x = L.LayerNormalization(name="after")(x)
    x = x[:, 0] if class_token else L.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, L.Dense(CLASSES, activation="softmax", name="predictions")(x))


@pytest.mark.slow
def test_behind_a_class_token_auto_takes_the_last_tokens_that_it_attends_to() -> None:
    model, images = transformer(class_token=True), random_images(2)
    executable = build_executable(model, "hirescam")
    assert executable.layer == "before_attention1"
    result = executable(images)
    assert result.maps.shape == (2, 1, *MAP_SIZE)
    assert (np.abs(result.maps) > 0).all()
    later = build_executable(model, "hirescam", layer="block1")(images).maps
    assert (later == 0).all()  # of the tokens behind the last attention only the class token is read
    # Not of the normalised tokens, whose means are 0 wherever they lie.
    expected = outputs_of(model, model.get_layer("block0"), images)[:, 1:].mean(2).reshape(2, *MAP_SIZE)
    assert np.abs(expected - np.roll(expected, 1, axis=2)).max() > 1e-2
    got = build_executable(model, "activations", layer="block0")(images).maps[:, 0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("at_end", [(False,), (True,), (True, False), (False, True), (True, True), (False, False)])
def test_other_tokens_may_lie_on_either_side(at_end: tuple[bool, ...]) -> None:
    keras.utils.set_random_seed(2)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Reshape((NUM_POSITIONS, 16))(L.Conv2D(16, 8, strides=8, name="patches")(inputs))
    for end in at_end:
        x = L.Dense(16)(ClassToken(at_end=end)(x))
    tokens = L.Dense(16, name="before")(x)
    x = L.Add(name="block")([tokens, L.MultiHeadAttention(2, 8)(tokens, tokens)])
    x = x[:, -1] if at_end[-1] else x[:, 0]
    model = keras.Model(inputs, L.Dense(CLASSES, name="predictions")(x))
    images, front = random_images(2), at_end.count(False)
    expected = outputs_of(model, model.get_layer("before"), images)[:, front : front + NUM_POSITIONS].mean(2)
    executable = build_executable(model, "activations")
    assert executable.layer == "before"
    np.testing.assert_allclose(executable(images).maps[:, 0], expected.reshape(2, *MAP_SIZE), atol=1e-5)


@pytest.mark.slow
def test_averaged_tokens_are_taken_to_the_end() -> None:
    executable = build_executable(transformer(class_token=False))
    assert executable.layer == "after"
    assert executable(random_images(1)).maps.shape == (1, 1, *MAP_SIZE)


def test_tokens_that_fit_no_feature_map_are_refused_with_the_reason() -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Reshape((NUM_POSITIONS, 16))(L.Conv2D(16, 8, strides=8)(inputs))
    x = L.Dense(16, name="odd")(x[:, : NUM_POSITIONS - 3])
    model = keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling1D()(x)))
    with pytest.raises(LayerError, match=f"{NUM_POSITIONS - 3} tokens, and no feature map before them"):
        build_executable(model, layer="odd")


@pytest.mark.parametrize("layer", ["global_average_pooling2d", "predictions"])
def test_a_layer_behind_the_pooling_says_so(layer: str) -> None:
    model = models.functional()
    name = next(one.name for one in model.layers if one.name.startswith(layer))
    with pytest.raises(LayerError, match="after the pooling"):
        build_executable(model, layer=name)


def test_a_branch_that_does_not_see_the_image_is_refused() -> None:
    left, right = keras.Input((HEIGHT, WIDTH, 3), name="left"), keras.Input((HEIGHT, WIDTH, 3), name="right")
    a = L.Conv2D(4, 3, strides=8, padding="same", activation="relu", name="of_left")(left)
    b = L.Conv2D(4, 3, strides=8, padding="same", activation="relu", name="of_right")(right)
    x = L.Concatenate()([L.GlobalAveragePooling2D()(a), L.GlobalAveragePooling2D()(b)])
    model = keras.Model([left, right], L.Dense(CLASSES, activation="softmax")(x))
    fed = {"right": np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)}
    known = load_model(ModelOptions(model=model, image_input="left", extra_input=fed))
    rows = {row.path: row for row in survey_model(known, (WIDTH, HEIGHT))}
    assert rows["of_left"].chosen
    assert rows["of_right"].reason == "does not depend on the image"


@pytest.mark.slow
def test_layer_norm_nets_and_nets_of_keras_applications() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.LayerNormalization(epsilon=1e-6)(L.Conv2D(8, 4, strides=4)(x))
    y = L.LayerNormalization()(L.DepthwiseConv2D(7, padding="same")(x))
    y = L.Dense(8)(L.Activation("gelu")(L.Dense(32)(y)))
    x = L.Add(name="block")([x, y])
    x = L.LayerNormalization()(L.GlobalAveragePooling2D()(x))
    executable = build_executable(keras.Model(inputs, L.Dense(CLASSES, activation="softmax")(x)))
    assert executable.layer == "block"
    assert (executable(random_images(1)).maps != 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", pytest.param("EfficientNetV2B0", marks=pytest.mark.exhaustive)])
def test_applications(name: str) -> None:
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 96, 3), classes=CLASSES)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    result = build_executable(model, "gradcam", size=(96, 64))(images)
    assert result.maps.shape == (2, 1, 2, 3)
    assert np.isfinite(result.maps).all()


@pytest.mark.parametrize(
    ("build", "method"),
    pairs(
        [models.functional, late],
        ["gradcam", "saliency", "guided-backprop", "occlusion"],
        fast=lambda *_: False,
        kept=lambda build, method: build is late or method == "gradcam",
    ),
)
def test_a_saved_model_is_explained_like_the_model_it_was(tmp_path: Path, method: str, build: Any) -> None:
    model, images = build(), random_images(2)
    model.export(tmp_path / "saved", verbose=False)
    executable = build_executable(str(tmp_path / "saved"), method)
    expected = build_executable(model, method)(images).maps
    np.testing.assert_allclose(executable(images).maps, expected, atol=1e-5 * np.abs(expected).max() + 1e-6)


def two_views(inputs: Any) -> Any:
    """Each image and its mirror image, one after the other on the batch axis."""
    both = keras.ops.stack([inputs, keras.ops.flip(inputs, 2)], axis=1)
    return keras.ops.reshape(both, (-1, *inputs.shape[1:]))


def averaged_views(*, stem: bool) -> Any:
    keras.utils.set_random_seed(3)
    inside = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(6, 3, strides=4, padding="same", activation="relu", name="last")(inside)
    backbone = keras.Model(inside, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x)), name="backbone")
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    if stem:
        x = L.Conv2D(3, 3, padding="same", name="stem")(x)
    logits = keras.ops.reshape(backbone(two_views(x)), (-1, 2, CLASSES))
    return keras.Model(inputs, L.Softmax()(keras.ops.mean(logits, axis=1)))


def test_views_on_the_batch_axis_are_refused_and_never_chosen() -> None:
    model = averaged_views(stem=False)
    with pytest.raises(LayerError, match=r"backbone/last.* its first axis holds 2 for each image"):
        build_executable(model, layer="backbone/last")
    with pytest.raises(
        LayerError, match=r"no layer whose output is a feature map.*; backbone/last: its first axis holds 2"
    ):
        build_executable(model)  # and not the mirror image, whose map would be mirrored
    rows = {row.path: row for row in survey_model(load(model), (WIDTH, HEIGHT))}
    assert not rows["backbone/last"].usable
    assert not any(row.chosen for row in rows.values())


def test_before_the_views_auto_takes_the_last_feature_map_after_weights() -> None:
    model, images = averaged_views(stem=True), random_images(3)
    executable = build_executable(model, "hirescam", target=1)
    assert executable.layer == "stem"
    stem = model.get_layer("stem")
    behind = keras.Model(stem.output, model.layers[-1].input)
    feature_map = tf.convert_to_tensor(stem(scale(images.astype(np.float32))))
    with tf.GradientTape() as tape:
        tape.watch(feature_map)
        score = behind(feature_map)[:, 1]
    expected = np.sum(feature_map * tape.gradient(score, feature_map), axis=3)
    np.testing.assert_allclose(executable(images).maps[:, 0], expected, atol=1e-5)


def split_windows(rows: int) -> Any:
    """Tokens attend within windows of ``rows`` × 2 positions only, as in Swin."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(8, 8, strides=8, name="patches")(inputs)
    down, across = MAP_SIZE[0] // rows, MAP_SIZE[1] // 2
    x = keras.ops.transpose(keras.ops.reshape(x, (-1, down, rows, across, 2, 8)), (0, 1, 3, 2, 4, 5))
    x = keras.ops.reshape(x, (-1, rows * 2, 8))
    x = L.Dense(8, name="inside")(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]))
    x = keras.ops.transpose(keras.ops.reshape(x, (-1, down, across, rows, 2, 8)), (0, 1, 3, 2, 4, 5))
    x = L.LayerNormalization(name="whole")(keras.ops.reshape(x, (-1, *MAP_SIZE, 8)))
    return keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x)))


def test_windows_on_the_batch_axis_are_refused() -> None:
    model = split_windows(rows=2)
    with pytest.raises(LayerError, match="6 for each image: crops, views or windows"):
        build_executable(model, layer="inside")
    assert build_executable(model).layer == "whole"


def test_rows_that_show_only_when_it_runs_are_counted_then() -> None:
    class Holder(L.Layer):
        def __init__(self, constant: list[bool]) -> None:
            super().__init__()
            self.constant = constant

        def call(self, x: Any) -> Any:
            mask = tf.tile(self.constant, [tf.shape(x)[0]])
            return tf.boolean_mask(tf.repeat(x, len(self.constant), axis=0), mask)

    def model(constant: list[bool]) -> Any:
        inputs = keras.Input((HEIGHT, WIDTH, 3))
        x = L.Conv2D(6, 3, strides=4, padding="same", name="last")(Holder(constant)(inputs))
        x = L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, keras.ops.mean(keras.ops.reshape(x, (-1, sum(constant), CLASSES)), axis=1))

    once = model([True, False])
    feature_map = outputs_of(once, once.get_layer("last"), random_images(2))
    np.testing.assert_allclose(
        build_executable(once, "activations")(random_images(2)).maps[:, 0], feature_map.mean(3), atol=1e-5
    )
    with pytest.raises(ModelError, match=r"Dimension 0.* 4 and 8"):
        build_executable(model([True, False, True]))


def test_quantised_layers_are_layers() -> None:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(16, 8, strides=8, name="patches")(inputs)
    x = L.Dense(16, activation="relu", name="last")(x)
    model = keras.Model(inputs, L.Dense(CLASSES, name="predictions")(L.GlobalAveragePooling2D()(x)))
    model.quantize("int8")
    images = random_images(3)
    executable = build_executable(model, "hirescam", target=1)
    assert executable.layer == "last"
    feature_map = tf.convert_to_tensor(outputs_of(model, model.get_layer("last"), images))
    with tf.GradientTape() as tape:
        tape.watch(feature_map)
        score = model.get_layer("predictions")(tf.reduce_mean(feature_map, axis=(1, 2)))[:, 1]
    expected = np.sum(feature_map * tape.gradient(score, feature_map), axis=3)
    np.testing.assert_allclose(executable(images).maps[:, 0], expected, atol=1e-4 * np.abs(expected).max())
    assert not [layer for layer in model.layers if {"call", "quantized_call"} & set(layer.__dict__)]
