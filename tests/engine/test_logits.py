"""Where a classifier's output is probabilities and where logits: the oracle is the eager model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine.graph.logits import probe_output
from streamcam.tf import keras, tf

from .executables import build_executable, first_target, random_images, scale
from .models import CLASSES, HEIGHT, WIDTH, features, randomize_weights

L, ops = keras.layers, keras.ops


def build_model(head: Callable[[Any], Any]) -> Any:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    return randomize_weights(keras.Model(inputs, head(L.GlobalAveragePooling2D(name="pooled")(features(inputs)))))


def dense(pooled: Any, units: int = CLASSES, activation: str | None = None, name: str | None = None) -> Any:
    kernel = keras.initializers.RandomNormal(stddev=2.0)
    return L.Dense(units, activation=activation, kernel_initializer=kernel, name=name)(pooled)


def eager(model: Any, images: Any) -> Any:
    return np.asarray(model(scale(images.astype(np.float32)), training=False)).astype(np.float64)


def softmax(x: Any) -> Any:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def gradcam(model: Any, score: Callable[[Any], Any], images: Any) -> Any:
    """By a tape, of a score of the model's output, at the feature map ``last``."""
    until = keras.Model(model.input, [model.get_layer("last").output, model.output])
    with tf.GradientTape() as tape:
        feature_map, output = until(scale(images.astype(np.float32)))
        total = tf.reduce_sum(score(output))
    gradient = tape.gradient(total, feature_map).numpy()
    return np.maximum((feature_map.numpy() * gradient.mean((1, 2), keepdims=True)).sum(3), 0)


def mixture(pooled: Any, activation: str | None = None, experts: int = 2) -> Any:
    gate = dense(pooled, experts, "softmax")
    each = ops.stack([dense(pooled, activation=activation) for _ in range(experts)], axis=1)
    return ops.sum(each * gate[..., None], axis=1)


def pooled_by_attention(pooled: Any) -> Any:
    values = L.Reshape((4, CLASSES))(dense(pooled, 4 * CLASSES))
    return ops.sum(values * L.Softmax(axis=1)(L.Reshape((4, 1))(dense(pooled, 4))), axis=1)


def flat_relu(pooled: Any) -> Any:
    return ops.relu(dense(pooled) + 0.5)


def small_relu6(pooled: Any) -> Any:
    """For no image above 1."""
    return L.Dense(CLASSES, "relu6", kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3))(pooled)


LOGITS: dict[str, Callable[[Any], Any]] = {
    "mixture of two": mixture,
    "mixture of as many as classes": lambda x: mixture(x, experts=CLASSES),
    "attention": pooled_by_attention,
    "gated by a sigmoid": lambda x: dense(x) * dense(x, activation="sigmoid"),
    "no less than zero": flat_relu,
    "from 0 to 6": small_relu6,
    "normalised": lambda x: L.BatchNormalization()(dense(x)),
}


@pytest.mark.slow
@pytest.mark.parametrize("head", LOGITS.values(), ids=LOGITS)
def test_logits_behind_a_gate_are_logits(head: Any) -> None:
    model, images = build_model(head), random_images(4)
    logits = eager(model, images)
    executable = build_executable(model, target=1)
    result = first_target(executable(images))
    np.testing.assert_allclose(result.logits, logits[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.probabilities, softmax(logits)[:, 1], rtol=1e-4, atol=1e-7)
    expected = gradcam(model, lambda output: output[:, 1], images)
    np.testing.assert_allclose(result.maps, expected, rtol=1e-3, atol=1e-5 * max(1.0, expected.max()))
    assert not any("has no logit" in note for note in executable.method.notes)


def hard(pooled: Any) -> Any:
    return L.Activation("hard_sigmoid")(dense(pooled))


def by_hand(pooled: Any) -> Any:
    x = dense(pooled)
    raised = ops.exp(x - ops.max(x, axis=1, keepdims=True))
    return raised / ops.sum(raised, axis=1, keepdims=True)


def either_way(x: Any) -> Any:
    return tf.cond(tf.reduce_mean(x) > 1e9, lambda: tf.nn.softmax(-x), lambda: tf.nn.softmax(x))


COMPUTED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "average of sigmoids": (lambda x: L.Average()([dense(x, activation="sigmoid") for _ in "ab"]), "log-odds"),
    "clipped sigmoid": (lambda x: ops.clip(dense(x, activation="sigmoid"), 1e-7, 1 - 1e-7), "log-odds"),
    "hard sigmoid": (hard, "log-odds"),
    "tanh from 0 to 1": (lambda x: (ops.tanh(dense(x)) + 1) / 2, "log-odds"),
    "sigmoid by hand": (lambda x: 1 / (1 + ops.exp(-dense(x))), "log-odds"),
    "softmax by hand": (by_hand, "log-probability"),
    "mixture of sigmoids": (lambda x: mixture(x, "sigmoid"), "log-odds"),
    "mixture of softmaxes": (lambda x: mixture(x, "softmax"), "log-probability"),
    "matrix product of softmaxes": (
        lambda x: L.Reshape((CLASSES,))(
            ops.matmul(dense(x, 2, "softmax")[:, None], ops.stack([dense(x, activation="softmax")] * 2, axis=1))
        ),
        "log-probability",
    ),
    "softmax in a branch": (lambda x: L.Lambda(either_way)(dense(x)), "log-probability"),
    "clipped groups": (
        lambda x: ops.clip(L.Flatten()(L.Softmax()(L.Reshape((2, 4))(dense(x, 8)))), 1e-6, 1.0),
        "log-odds",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPUTED)
def test_probabilities_are_those_of_the_model(name: str) -> None:
    head, fraction = COMPUTED[name]
    model, images = build_model(head), random_images(4)
    output = eager(model, images)
    executable = build_executable(model, target=1)
    result = first_target(executable(images))
    np.testing.assert_allclose(result.probabilities, output[:, 1], rtol=1e-4, atol=1e-6)
    assert fraction in executable.method.notes[0]

    def score(output: Any) -> Any:
        p = tf.maximum(output[:, 1], 1e-7)
        return tf.math.log(p) - (tf.math.log(tf.maximum(1 - output[:, 1], 1e-7)) if fraction == "log-odds" else 0.0)

    np.testing.assert_allclose(result.logits, score(output.astype(np.float32)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(result.maps, gradcam(model, score, images), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        lambda x: L.Average()([dense(x, 1, "sigmoid"), dense(x, 1, "sigmoid")]),
        lambda x: ops.clip(dense(x, 1, "sigmoid"), 1e-7, 1 - 1e-7),
        lambda x: L.Activation("hard_sigmoid")(dense(x, 1)),
    ],
    ids=["average", "clip", "hard"],
)
def test_one_unit_that_is_computed_with_has_two_sides(head: Any) -> None:
    model, images = build_model(head), random_images(4)
    positive = eager(model, images)[:, 0]
    for target, expected in ((0, 1 - positive), (1, positive)):
        result = first_target(build_executable(model, target=target)(images))
        np.testing.assert_allclose(result.probabilities, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(result.logits, np.log(expected / (1 - expected)), rtol=1e-3, atol=1e-4)


def test_a_softmax_for_each_of_several_groups_has_logits() -> None:
    model = build_model(lambda x: L.Flatten()(L.Softmax()(L.Reshape((2, 4))(dense(x, 8, name="predictions")))))
    images = random_images(4)
    result = first_target(build_executable(model, target=6)(images))
    logits = keras.Model(model.input, model.get_layer("predictions").output)
    np.testing.assert_allclose(result.probabilities, eager(model, images)[:, 6], rtol=1e-4)
    np.testing.assert_allclose(result.logits, eager(logits, images)[:, 6], rtol=1e-4, atol=1e-5)


def test_a_softmax_that_is_recomputed_has_logits() -> None:
    with keras.RematScope(mode="activations"):
        model = build_model(lambda x: dense(x, activation="softmax"))
    images = random_images(4)
    executable = build_executable(model, target=1)
    result = first_target(executable(images))
    np.testing.assert_allclose(result.probabilities, eager(model, images)[:, 1], rtol=1e-4)
    assert not any("has no logit" in note for note in executable.method.notes)


class Enclosed(L.Layer):
    """Layers, one after the other, in a function of TensorFlow."""

    def __init__(self, inside: list[Any], **options: Any) -> None:
        super().__init__()
        self.inside = inside
        self.run = tf.function(self.all, autograph=False, **options)

    def all(self, x: Any) -> Any:
        for layer in self.inside:
            x = layer(x)
        return x

    def call(self, x: Any) -> Any:
        return self.run(x)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"jit_compile": True}], ids=["function", "XLA"])
@pytest.mark.parametrize("method", ["gradcam", "scorecam"])
def test_a_softmax_inside_a_function_has_logits(options: Any, method: str) -> None:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    pooled = L.GlobalAveragePooling2D()(features(inputs))
    hidden, last = L.Dense(128, activation="relu"), L.Dense(CLASSES)
    logits = randomize_weights(keras.Model(inputs, last(hidden(pooled))))
    inside = Enclosed([hidden, last, Enclosed([L.Softmax()])], **options)
    model, images = keras.Model(inputs, inside(pooled)), random_images(4)
    executable = build_executable(model, method, target=1)
    result = first_target(executable(images))
    np.testing.assert_allclose(result.probabilities, eager(model, images)[:, 1], rtol=1e-4)
    np.testing.assert_allclose(result.logits, eager(logits, images)[:, 1], rtol=1e-4, atol=1e-5)
    assert not any("has no logit" in note for note in executable.method.notes)
    if method == "gradcam":
        expected = gradcam(logits, lambda output: output[:, 1], images)
        np.testing.assert_allclose(result.maps, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_a_softmax_inside_a_saved_model_that_is_a_layer_has_logits(tmp_path: Path) -> None:
    logits, images = build_model(dense), random_images(4)
    keras.Model(logits.input, L.Softmax()(logits.output)).export(tmp_path / "saved", verbose=False)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    model = keras.Model(inputs, L.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve")(inputs))
    result = first_target(build_executable(model, "saliency", target=1)(images))
    expected = eager(logits, images)
    np.testing.assert_allclose(result.probabilities, softmax(expected)[:, 1], rtol=1e-4)
    np.testing.assert_allclose(result.logits, expected[:, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_function_with_a_gradient_of_its_own_is_left_closed_and_reported_right() -> None:
    custom_softmax = tf.custom_gradient(lambda x: (tf.nn.softmax(x), lambda above: above))
    model, images = build_model(lambda x: Enclosed([custom_softmax])(dense(x))), random_images(4)
    executable = build_executable(model, "occlusion", target=1)
    result = first_target(executable(images))
    np.testing.assert_allclose(result.probabilities, eager(model, images)[:, 1], rtol=1e-4)
    assert "log-probability" in executable.method.notes[0]


def test_the_trial_leaves_the_model_as_it_was() -> None:
    class Counting(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(4, 3)
            self.gate, self.experts = keras.layers.Dense(2, "softmax"), keras.layers.Dense(8)
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, images):
            self.calls.assign_add(1.0)
            pooled = tf.reduce_mean(self.convolution(images / 255), (1, 2))
            return tf.einsum("ng,ngc->nc", self.gate(pooled), tf.reshape(self.experts(pooled), (-1, 2, 4)))

    model = Counting()
    model(tf.zeros((1, 8, 8, 3)))
    found = probe_output(model, model, keras.Input((8, 8, 3)))
    assert found is not None
    assert found.shape == (4, 4)
    assert float(model.calls.value) == 1
