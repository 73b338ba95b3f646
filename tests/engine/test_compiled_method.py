"""The compiled explanation against NumPy and against Keras itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiled_method import Executable, survey_model
from streamcam.errors import LayerError, ModelError
from streamcam.tf import keras, tf
from tests.marks import slow_except

from . import models
from .executables import build_executable, first_target, load, outputs_of, random_images, scale
from .models import CLASSES, HEIGHT, MAP_SIZE, WIDTH


@pytest.mark.slow
def test_pooled_head_equals_the_closed_form() -> None:
    """GAP + Dense with weights w: the map is ReLU(Σ w_k A_k) / Z."""
    model, images = models.functional(), random_images(4)
    feature_map = outputs_of(model, model.get_layer("last"), images).astype(np.float64)
    weights, bias = (w.astype(np.float64) for w in model.get_layer("predictions").get_weights())
    logits = feature_map.mean((1, 2)) @ weights + bias
    top = logits.argmax(1)
    expected = np.maximum(np.einsum("nhwk,kn->nhw", feature_map, weights[:, top]), 0) / (MAP_SIZE[0] * MAP_SIZE[1])

    result = first_target(build_executable(model)(images))

    assert result.maps.shape == (4, *MAP_SIZE)
    assert result.maps.dtype == np.float32
    np.testing.assert_allclose(result.maps, expected, atol=1e-5)
    np.testing.assert_array_equal(result.targets, top)
    np.testing.assert_allclose(result.logits, logits.max(1), rtol=1e-4)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(result.probabilities, probabilities.max(1), rtol=1e-4)
    np.testing.assert_array_equal(result.top_classes, (-probabilities).argsort(1)[:, :5])


@pytest.mark.slow
def test_flattened_head_behind_max_pooling_equals_a_finite_difference() -> None:
    """α_k is the mean derivative of the logit: move one channel everywhere by ε and compare the logit."""
    model, images = models.sequential(), random_images(1)
    feature_map = outputs_of(model, model.get_layer("last"), images)
    tail_input = keras.Input(feature_map.shape[1:])
    x = tail_input
    for layer in model.layers[1:-1]:
        x = layer(x)
    flat = keras.Model(tail_input, x)
    weights, bias = model.get_layer("predictions").get_weights()

    def logits(at: Any) -> Any:
        return flat.predict(at, verbose=0).astype(np.float64) @ weights + bias

    top = int(logits(feature_map)[0].argmax())
    epsilon = 1e-3
    alphas = []
    for channel in range(feature_map.shape[3]):
        moved = feature_map.astype(np.float64).copy()
        moved[..., channel] += epsilon
        alphas.append(
            (logits(moved)[0, top] - logits(feature_map)[0, top])
            / epsilon
            / (feature_map.shape[1] * feature_map.shape[2])
        )
    expected = np.maximum(feature_map[0] @ np.array(alphas), 0)

    executable = build_executable(model)
    assert executable.layer == "last"  # the grid before the pooling
    np.testing.assert_allclose(executable(images).maps[0, 0], expected, atol=2e-3)


@cache
def build_and_compile(build: Any) -> tuple[Any, Executable]:
    """Return a model and its executable, one for all tests of this module."""
    keras.utils.set_random_seed(7)  # independent of earlier tests in this process
    model = build()
    return model, build_executable(model)


@pytest.mark.parametrize(
    "build", slow_except([models.functional, models.subclassed_model], models.BUILDS.values()), ids=models.BUILDS
)
class TestEveryBuild:
    def test_maps_and_scores_are_those_of_the_model(self, build: Any) -> None:
        (model, executable), images = build_and_compile(build), random_images(4)
        result = first_target(executable(images))
        output = np.asarray(model(scale(images.astype(np.float32)), training=False))
        if output.shape[1] == 1:
            output = np.concatenate([1 - output, output], axis=1)
        if build is models.logits_only:
            output = np.exp(output) / np.exp(output).sum(1, keepdims=True)
        np.testing.assert_allclose(result.probabilities, output.max(1), rtol=1e-4)
        np.testing.assert_array_equal(result.targets, output.argmax(1))
        assert result.maps.shape[0] == 4
        assert np.isfinite(result.maps).all()
        assert (result.maps >= 0).all()
        assert (result.maps > 0).any()

    def test_a_map_never_depends_on_its_neighbours(self, build: Any) -> None:
        (_, executable), images = build_and_compile(build), random_images(4)
        together = executable(images)
        alone = executable(images[2:3])
        assert len(alone.maps) == 1
        np.testing.assert_allclose(alone.maps[0], together.maps[2], atol=1e-6)

    def test_the_model_is_as_it_was(self, build: Any) -> None:
        model = build()
        before = [w.copy() for w in model.get_weights()]
        attributes = {id(layer): sorted(layer.__dict__) for layer in model._flatten_layers()}
        build_executable(model)
        assert {id(layer): sorted(layer.__dict__) for layer in model._flatten_layers()} == attributes
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_the_kernel_needs_no_model_and_never_traces_again() -> None:
    model = models.functional()
    executable = build_executable(model)
    images = random_images(4)
    before = executable(images).maps
    for variable in model.weights:
        variable.assign(tf.zeros_like(variable))
    for count in (1, 2, 3, 4):
        np.testing.assert_allclose(executable(images[:count]).maps, before[:count], atol=1e-6)


def test_no_evidence_is_a_zero_map() -> None:
    model = models.functional()
    weights, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([-np.abs(weights), bias])
    result = first_target(build_executable(model)(random_images(2)))
    assert (result.maps == 0).all()


@pytest.mark.slow
def test_a_named_target_is_explained_with_any_class_on_top() -> None:
    model, images = models.functional(), random_images(4)
    result = first_target(build_executable(model, target="3")(images))
    feature_map = outputs_of(model, model.get_layer("last"), images).astype(np.float64)
    weights = model.get_layer("predictions").get_weights()[0].astype(np.float64)
    expected = np.maximum(feature_map @ weights[:, 3], 0) / (MAP_SIZE[0] * MAP_SIZE[1])
    np.testing.assert_array_equal(result.targets, [3] * 4)
    np.testing.assert_allclose(result.maps, expected, atol=1e-5)


@pytest.mark.slow
def test_both_sides_of_one_sigmoid() -> None:
    model, images = models.one_sigmoid(), random_images(4)
    positive = np.asarray(model(scale(images.astype(np.float32)), training=False))[:, 0]
    for target, expected in ((0, 1 - positive), (1, positive)):
        result = first_target(build_executable(model, target=str(target))(images))
        np.testing.assert_allclose(result.probabilities, expected, rtol=1e-4)
    np.testing.assert_allclose(
        build_executable(model, target=0)(images).scores, -build_executable(model, target=1)(images).scores, rtol=1e-5
    )


@pytest.mark.slow
def test_layers_of_a_nested_model_have_paths() -> None:
    model = models.nested_model()
    rows = survey_model(load(model), (WIDTH, HEIGHT))
    assert [row.path for row in rows if row.chosen] == ["backbone/last"]
    images = random_images(2)
    inner, outer = build_executable(model), build_executable(model, layer="backbone")
    np.testing.assert_allclose(inner(images).maps, outer(images).maps, atol=1e-6)


def test_an_earlier_layer_has_its_own_grid() -> None:
    result = first_target(build_executable(models.functional(), layer="linear")(random_images(2)))
    assert result.maps.shape == (2, HEIGHT // 4, WIDTH // 4)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("lost", "did you mean 'last'"),
        ("predictions", "no feature map"),
        ("global_average_pooling2d", "no feature map|unknown layer"),
    ],
)
def test_layers_that_cannot_be_explained_say_why(layer: str, says: str) -> None:
    with pytest.raises(LayerError, match=says):
        build_executable(models.functional(), layer=layer)


def test_a_layer_the_logits_do_not_depend_on() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = models.features(x)
    side = keras.layers.Conv2D(2, 1, name="side")(x)
    output = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, [output, side])

    class First(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inside = model

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.inside(inputs)[0]

    whole = First()
    whole(np.zeros((1, HEIGHT, WIDTH, 3), np.float32))
    with pytest.raises(LayerError, match="do not depend on it"):
        build_executable(whole, layer=f"{model.name}/side")


def test_a_single_cell_is_no_grid() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(models.features(x))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.Flatten()(x)))
    with pytest.raises(LayerError, match="a single position"):
        build_executable(model, layer="squeeze")
    assert build_executable(model).layer == "last"


def test_what_is_no_classifier_is_refused() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    with pytest.raises(ModelError, match="a classifier"):
        build_executable(keras.Model(inputs, models.features(x)))


def test_a_wrong_size_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="64x64") as caught:
        build_executable(models.functional(), size=(64, 64))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [lambda p: keras.ops.clip(p, 0.001, 0.999), lambda p: keras.layers.Average()([p, p]), lambda p: p * 1.0],
    ids=["clip", "average", "scale"],
)
def test_probabilities_that_are_computed_with_are_not_taken_for_logits(end: Any) -> None:
    images = random_images(4)
    base = models.functional()
    plain = first_target(build_executable(base)(images))
    executable = build_executable(keras.Model(base.inputs, end(base.output)))
    result = first_target(executable(images))
    assert "log-probability" in executable.method.notes[0]
    np.testing.assert_array_equal(result.targets, plain.targets)
    np.testing.assert_allclose(result.probabilities, plain.probabilities, atol=1e-5)
    np.testing.assert_allclose(result.logits, np.log(plain.probabilities), atol=1e-4)


@pytest.mark.slow
def test_a_log_softmax_is_a_softmax() -> None:
    images = random_images(4)
    base = models.logits_only()
    plain = first_target(build_executable(base)(images))
    result = first_target(build_executable(keras.Model(base.inputs, keras.ops.log_softmax(base.output)))(images))
    np.testing.assert_allclose(result.probabilities, plain.probabilities, rtol=1e-4)
    np.testing.assert_allclose(result.maps, plain.maps, atol=1e-5)


def test_the_last_grid_may_be_an_operation_that_is_no_layer() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = models.features(x)
    x = keras.ops.add(x, keras.layers.Conv2D(12, 1, name="branch")(x))
    output = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    executable = build_executable(keras.Model(inputs, output))
    assert executable.layer.startswith("add")
    assert executable(random_images(1)).maps.shape == (1, 1, *MAP_SIZE)


@pytest.mark.slow
def test_tokens_are_put_back_on_their_grid_and_heads_are_none() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = models.features(x)
    tokens = keras.layers.Reshape((MAP_SIZE[0] * MAP_SIZE[1], 12))(x)
    tokens = keras.layers.MultiHeadAttention(2, 4, name="attention")(tokens, tokens)
    tokens = keras.layers.LayerNormalization(name="tokens")(tokens)
    output = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(inputs, output)
    executable, images = build_executable(model), random_images(2)
    assert executable.layer == "tokens"
    rows = survey_model(load(model), (WIDTH, HEIGHT))
    assert "attention/query" in [row.path for row in rows if not row.usable or row.spatial_shape != MAP_SIZE]
    weights = model.layers[-1].get_weights()[0].astype(np.float64)
    positions = outputs_of(model, model.get_layer("tokens"), images).astype(np.float64).reshape(2, *MAP_SIZE, 12)
    result = first_target(executable(images))
    expected = np.maximum(np.einsum("nhwk,kn->nhw", positions, weights[:, result.targets]), 0) / (
        MAP_SIZE[0] * MAP_SIZE[1]
    )
    np.testing.assert_allclose(result.maps, expected, atol=1e-5)


def test_a_stopped_gradient_is_said() -> None:
    x = inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.Conv2D(4, 3, strides=8, padding="same", name="early")(x)
    x = keras.ops.stop_gradient(x)
    output = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(LayerError, match="no gradient"):
        build_executable(keras.Model(inputs, output), layer="early")


def test_the_precision_of_a_mixed_model_is_its_own() -> None:
    with_policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.functional()
    finally:
        keras.mixed_precision.set_dtype_policy(with_policy)
    executable = build_executable(model)
    assert executable.precision == "bfloat16"
    assert executable(random_images(2)).maps.dtype == np.float32
