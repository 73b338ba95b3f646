"""Guided ReLUs however they are written: the unit's own derivative, times 1[R > 0]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamcam.errors import MethodError
from streamcam.tf import keras, tf
from tests.engine.executables import build_executable, random_images, scale
from tests.engine.models import HEIGHT, WIDTH

L = keras.layers
UNITS = np.array([[1.0, -2.0, 3.0, -1.0, 8.0, 1.0], [0.5, 1.0, -1.0, 2.0, 0.3, -4.0], [0.2, 0.1, 1.5, -0.5, -6.0, 2.0]])
HEAD = np.array([[1.0, -1.0], [2.0, 0.5], [-0.5, 1.5], [3.0, -2.0], [0.7, 1.0], [-1.0, 0.25]])
"""Six units, of which class 0 likes some and dislikes others."""


def net(unit: Callable[[Any], Any]) -> Any:
    """Each pixel by itself: three colours → six units → an activation → the mean over the pixels → two logits."""
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = unit(L.Conv2D(6, 1, use_bias=False, name="mix")(inputs))
    output = L.Dense(2, use_bias=False, name="predictions")(L.GlobalAveragePooling2D()(x))
    return fill_weights(keras.Model(inputs, output))


def fill_weights(model: Any) -> Any:
    for layer in model._flatten_layers():
        if layer.name == "mix":
            layer.set_weights([UNITS[None, None]])
        elif layer.name == "predictions":
            layer.set_weights([HEAD])
    return model


class Subclassed(keras.Model):
    def __init__(self, unit: Callable[[Any], Any]) -> None:
        super().__init__()
        self.unit = unit
        self.mix = L.Conv2D(6, 1, use_bias=False, name="mix")
        self.predictions = L.Dense(2, use_bias=False, name="predictions")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.predictions(keras.ops.mean(self.unit(self.mix(inputs)), axis=(1, 2)))


def subclassed_model(unit: Callable[[Any], Any]) -> Any:
    model = Subclassed(unit)
    model(np.zeros((1, HEIGHT, WIDTH, 3), np.float32))
    return fill_weights(model)


def fused_model() -> Any:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(6, 1, use_bias=False, activation="relu", name="mix")(inputs)
    return fill_weights(
        keras.Model(inputs, L.Dense(2, use_bias=False, name="predictions")(L.GlobalAveragePooling2D()(x)))
    )


def nested_twice() -> Any:
    inner, middle, outer = (keras.Input((HEIGHT, WIDTH, 3)) for _ in range(3))
    backbone = keras.Model(inner, L.ReLU()(L.Conv2D(6, 1, use_bias=False, name="mix")(inner)))
    between = keras.Model(middle, backbone(middle))
    x = L.GlobalAveragePooling2D()(between(outer))
    return fill_weights(keras.Model(outer, L.Dense(2, use_bias=False, name="predictions")(x)))


def recomputed_model() -> Any:
    with keras.RematScope(mode="activations"):
        return fused_model()


def prelu() -> Any:
    return L.PReLU(alpha_initializer=keras.initializers.Constant(0.25), shared_axes=[1, 2])


def step(low: float = 0.0, high: float = np.inf, slope: float = 0.0) -> Callable[[Any], Any]:
    """The derivative of a unit."""
    return lambda x: np.where(x > low, np.where(x < high, 1.0, 0.0), slope)


SPELLINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "fused": (fused_model, step()),
    "layer": (lambda: net(L.ReLU()), step()),
    "activation": (lambda: net(L.Activation("relu")), step()),
    "capped at 6": (lambda: net(L.ReLU(6.0)), step(high=6.0)),
    "capped at 1": (lambda: net(L.ReLU(1.0)), step(high=1.0)),
    "threshold": (lambda: net(L.ReLU(threshold=0.5)), step(low=0.5)),
    "leaky": (lambda: net(L.LeakyReLU(negative_slope=0.25)), step(slope=0.25)),
    "leaky ReLU layer": (lambda: net(L.ReLU(negative_slope=0.25)), step(slope=0.25)),
    "leaky and capped": (lambda: net(L.ReLU(max_value=1.0, negative_slope=0.25)), step(high=1.0, slope=0.25)),
    "parametric": (lambda: net(prelu()), step(slope=0.25)),
    "keras.ops": (lambda: subclassed_model(keras.ops.relu), step()),
    "tf.nn": (lambda: subclassed_model(tf.nn.relu), step()),
    "tf.nn.relu6": (lambda: subclassed_model(tf.nn.relu6), step(high=6.0)),
    "maximum": (lambda: subclassed_model(lambda x: tf.maximum(x, 0.0)), step()),
    "maximum of an array": (lambda: subclassed_model(lambda x: tf.maximum(tf.zeros_like(x), x)), step()),
    "where": (lambda: subclassed_model(lambda x: tf.where(x > 0, x, tf.zeros_like(x))), step()),
    "clip": (lambda: net(lambda x: keras.ops.clip(x, 0.0, 6.0)), step(high=6.0)),
    "nested twice": (nested_twice, step()),
    "recomputed": (recomputed_model, step()),
    "recomputed by TensorFlow": (lambda: subclassed_model(tf.recompute_grad(tf.nn.relu)), step()),
}


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_each_spelling_equals_the_rule(spelling: str, index: int) -> None:
    build, derivative = SPELLINGS[spelling]
    images = random_images(2)
    x = scale(images.astype(np.float64)) @ UNITS
    above = HEAD[:, index] / (HEIGHT * WIDTH)
    guided = np.abs((above * (above > 0) * derivative(x)) @ UNITS.T).max(3)
    vanilla = np.abs((above * derivative(x)) @ UNITS.T).max(3)

    # Where a unit is at an edge of its derivative, rounding decides.
    sure = (np.abs(x[..., None] - [0.0, 0.5, 1.0, 6.0]) > 1e-4).all((3, 4))

    executable = build_executable(build(), "guided-backprop", target=str(index))
    np.testing.assert_allclose(np.abs(executable(images).maps[:, 0])[sure], guided[sure], rtol=1e-4, atol=1e-8)
    assert executable.method.notes[0] == "1 ReLU guided"
    plain = build_executable(build(), "saliency", target=str(index))(images).maps[:, 0]
    np.testing.assert_allclose(plain[sure], vanilla[sure], rtol=1e-4, atol=1e-8)
    assert np.abs(guided - vanilla).max() > 0.1 * vanilla.max()
    assert sure.mean() > 0.9


def test_a_relu_of_what_was_negated_is_one_like_any_other() -> None:
    """Concatenated ReLU: relu(x) beside relu(−x), each with a head of its own."""
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(6, 1, use_bias=False, name="mix")(inputs)
    x = L.Concatenate()([keras.ops.relu(x), keras.ops.relu(-x)])
    output = L.Dense(2, use_bias=False, name="both")(L.GlobalAveragePooling2D()(x))
    model = fill_weights(keras.Model(inputs, output))
    head = np.concatenate([HEAD, HEAD[::-1]])
    model.get_layer("both").set_weights([head])
    images = random_images(1)
    x = scale(images.astype(np.float64)) @ UNITS
    above = np.maximum(head[:, 0], 0) / (HEIGHT * WIDTH)
    expected = np.abs((above[:6] * (x > 0) - above[6:] * (x < 0)) @ UNITS.T).max(3)
    sure = (np.abs(x) > 1e-4).all(3)
    executable = build_executable(model, "guided-backprop", target="0")
    assert executable.method.notes[0] == "2 ReLUs guided"
    np.testing.assert_allclose(np.abs(executable(images).maps[:, 0])[sure], expected[sure], rtol=1e-4, atol=1e-8)


def test_by_hand() -> None:
    """White pixels: x = (1, 1, 1), so the units see (1.7, −0.9, 3.5, 0.5, 2.3, −1).

    Class 0 weighs them 1, 2, −0.5, 3, 0.7 and −1. Open and liked are units 0, 3 and 4:
    R = 1·(1, .5, .2) + 3·(−1, 2, −.5) + 0.7·(8, .3, −6) = (3.6, 6.71, −5.5).
    """
    model = net(L.ReLU())
    image = np.full((1, HEIGHT, WIDTH, 3), 255, np.uint8)
    maps = build_executable(model, "guided-backprop", target="0")(image).maps[0, 0]
    np.testing.assert_allclose(maps * (HEIGHT * WIDTH), np.full((HEIGHT, WIDTH), 6.71), rtol=1e-5)


@pytest.mark.parametrize(
    ("activation", "named"),
    [("silu", "SiLU"), ("gelu", "GELU"), ("tanh", "tanh"), ("elu", "ELU"), ("linear", "unknown")],
)
def test_a_net_without_a_relu_is_refused_with_its_activation(activation: str, named: str) -> None:
    with pytest.raises(MethodError, match=named):
        build_executable(net(L.Activation(activation)), "guided-backprop")


def test_gates_are_no_relus() -> None:
    model = net(lambda x: L.Activation("hard_silu")(L.ReLU()(x)))
    assert build_executable(model, "guided-backprop").method.notes[0] == "1 ReLU guided"
    with pytest.raises(MethodError, match="no ReLU to guide"):
        build_executable(net(L.Activation("hard_sigmoid")), "guided-backprop")


def test_clips_that_are_gates_or_keep_images_in_range_are_no_relus() -> None:
    gates = (
        lambda x: keras.ops.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x: keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0),
        lambda x: keras.ops.relu6(x + np.full(6, 3.0, np.float32)) / 6.0,
    )
    for gate in gates:
        model = net(lambda x, gate=gate: gate(L.ReLU()(x)))
        assert build_executable(model, "guided-backprop").method.notes[0] == "1 ReLU guided"


def test_a_relu_of_what_an_array_was_added_to_is_one_like_any_other() -> None:
    shift = np.array([3.0, -1.0, 3.0, 0.5, -3.0, 2.0])
    images = random_images(2)
    x = scale(images.astype(np.float64)) @ UNITS + shift
    above = np.maximum(HEAD[:, 0], 0) / (HEIGHT * WIDTH)
    expected = np.abs((above * step(high=6.0)(x)) @ UNITS.T).max(3)
    sure = (np.abs(x[..., None] - [0.0, 6.0]) > 1e-4).all((3, 4))
    executable = build_executable(
        net(lambda x: keras.ops.relu6(x + shift.astype(np.float32))), "guided-backprop", target="0"
    )
    assert executable.method.notes[0] == "1 ReLU guided"
    np.testing.assert_allclose(np.abs(executable(images).maps[:, 0])[sure], expected[sure], rtol=1e-4, atol=1e-8)


def test_other_activations_beside_relus_are_noted() -> None:
    model = net(lambda x: L.Activation("silu")(L.ReLU()(x)))
    assert build_executable(model, "guided-backprop").method.notes[0] == "1 ReLU guided; sigmoid (as in SiLU) unchanged"


def test_a_relu_inside_a_function_of_its_own_is_refused() -> None:
    enclosed = tf.function(tf.nn.relu, autograph=False)
    with pytest.raises(MethodError, match=r"its own tf\.function"):
        build_executable(subclassed_model(enclosed), "guided-backprop")


def test_relus_inside_a_gradient_of_ones_own_are_not_counted_as_guided() -> None:
    own_gradient = tf.custom_gradient(lambda x: (tf.nn.relu(x), lambda above: above * tf.cast(x > 0, x.dtype)))
    model = subclassed_model(lambda x: own_gradient(tf.nn.relu(x)))
    assert build_executable(model, "guided-backprop").method.notes[0] == (
        "1 ReLU guided; 1 ReLU off the gradient path unchanged"
    )
    with pytest.raises(MethodError, match="a custom gradient"):
        build_executable(subclassed_model(own_gradient), "guided-backprop")


@pytest.mark.slow
def test_the_rule_is_taken_off_again() -> None:
    """Guided Grad-CAM takes a guided gradient and a plain one from one graph."""
    model, images = net(L.ReLU()), random_images(1)
    both = build_executable(model, "guided-gradcam", target="0", layer="mix")(images).maps
    guided = build_executable(model, "guided-backprop", target="0")(images).maps
    plain = build_executable(model, "gradcam", target="0", layer="mix")(images).maps
    np.testing.assert_allclose(both, np.abs(guided) * plain, rtol=1e-4, atol=1e-9)
