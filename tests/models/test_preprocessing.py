from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError, OptionError
from streamcam.models.backend import keras, tf
from streamcam.models.efficientnet_lite0 import preprocess as lite0
from streamcam.models.preprocessing import named, scaling_layer

PICTURES = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3)).astype(np.float32)
BGR_MEANS = np.array([103.939, 116.779, 123.68], np.float32)
RGB_MEANS = np.array([0.485, 0.456, 0.406], np.float32)
RGB_DEVIATIONS = np.array([0.229, 0.224, 0.225], np.float32)


def traced(function: Any) -> np.ndarray:
    return tf.function(function)(tf.constant(PICTURES)).numpy()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", PICTURES),
        ("0..1", PICTURES / 255),
        ("-1..1", PICTURES / 127.5 - 1),
        ("mobilenet_v2", PICTURES / 127.5 - 1),
        ("xception", PICTURES / 127.5 - 1),
        ("resnet", PICTURES[..., ::-1] - BGR_MEANS),
        ("vgg16", PICTURES[..., ::-1] - BGR_MEANS),
        ("densenet", (PICTURES / 255 - RGB_MEANS) / RGB_DEVIATIONS),
        ("efficientnet", PICTURES),
        ("mobilenet_v3", PICTURES),
    ],
)
def test_named_ones_inside_a_graph(name: str, expected: np.ndarray) -> None:
    choice = named(name)
    assert choice.name == name
    np.testing.assert_allclose(traced(choice.function), expected, atol=1e-4)


def test_the_embedded_model_s() -> None:
    np.testing.assert_array_equal(traced(lite0), (PICTURES - 127) / 128)


def test_a_function_of_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scaling.py").write_text("def half(images):\n    return images / 2\n")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(traced(named("my_scaling:half").function), PICTURES / 2)


def test_functions_and_none_from_python() -> None:
    def half(images: Any) -> Any:
        return images / 2

    for option, name, expected in [
        (half, "half", PICTURES / 2),
        (keras.layers.Rescaling(0.5), "Rescaling", PICTURES / 2),
        (None, "none", PICTURES),
    ]:
        choice = named(option)
        assert choice.name == name
        np.testing.assert_array_equal(traced(choice.function), expected)
    with pytest.raises(OptionError, match="preprocess is a float; wanted a name, a function or None"):
        named(0.5)


def test_unknown_names() -> None:
    with pytest.raises(OptionError, match="did you mean 'mobilenet_v2'"):
        named("mobilenetv2")
    with pytest.raises(ModelError, match="there is no module no_such_module"):
        named("no_such_module:f")


def scaled_by_layer(x: Any) -> Any:
    return keras.layers.Rescaling(1 / 255, name="to_unit")(x)


def scaled_by_normalization(x: Any) -> Any:
    return keras.layers.Normalization(mean=3.0, variance=2.0, name="to_unit")(x)


def scaled_by_arithmetic(x: Any) -> Any:
    return x / 127.5 - 1


def scaled_in_a_nested_model(x: Any) -> Any:
    return keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255, name="to_unit")])(x)


def not_scaled(x: Any) -> Any:
    return x


def scaled_after_the_first_convolution(x: Any) -> Any:
    return keras.layers.Rescaling(1 / 255)(keras.layers.Conv2D(3, 1)(x))


@pytest.mark.parametrize(
    ("front", "found"),
    [
        (scaled_by_layer, True),
        (scaled_by_normalization, True),
        (scaled_by_arithmetic, True),
        (scaled_in_a_nested_model, True),
        (not_scaled, False),
        (scaled_after_the_first_convolution, False),
    ],
)
def test_scaling_at_the_front_is_seen(front: Any, found: bool) -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 3)(front(inputs))
    x = keras.layers.Add()([x, keras.layers.Conv2D(2, 3)(inputs)])
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    name = scaling_layer(model)
    assert bool(name) == found
    assert name == "to_unit" or not found or front is scaled_by_arithmetic
