from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError, OptionError
from streamcam.models.preprocessing import find_scaling_layer, resolve_preprocessing
from streamcam.models.zoo.efficientnet_lite0 import preprocess as lite0
from streamcam.tf import keras, tf

IMAGES = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3)).astype(np.float32)
BGR_MEANS = np.array([103.939, 116.779, 123.68], np.float32)
RGB_MEANS = np.array([0.485, 0.456, 0.406], np.float32)
RGB_DEVIATIONS = np.array([0.229, 0.224, 0.225], np.float32)


def trace_call(function: Any) -> np.ndarray:
    return tf.function(function)(tf.constant(IMAGES)).numpy()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", IMAGES),
        ("0..1", IMAGES / 255),
        ("-1..1", IMAGES / 127.5 - 1),
        ("mobilenet_v2", IMAGES / 127.5 - 1),
        ("xception", IMAGES / 127.5 - 1),
        ("resnet", IMAGES[..., ::-1] - BGR_MEANS),
        ("vgg16", IMAGES[..., ::-1] - BGR_MEANS),
        ("densenet", (IMAGES / 255 - RGB_MEANS) / RGB_DEVIATIONS),
        ("efficientnet", IMAGES),
        ("mobilenet_v3", IMAGES),
    ],
)
def test_named_ones_inside_a_graph(name: str, expected: np.ndarray) -> None:
    choice = resolve_preprocessing(name)
    assert choice.name == name
    np.testing.assert_allclose(trace_call(choice.function), expected, atol=1e-4)


def test_the_embedded_model_s() -> None:
    np.testing.assert_array_equal(trace_call(lite0), (IMAGES - 127) / 128)


def test_a_function_of_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scaling.py").write_text("def half(images):\n    return images / 2\n")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(trace_call(resolve_preprocessing("my_scaling:half").function), IMAGES / 2)


def test_functions_and_none_from_python() -> None:
    def half(images: Any) -> Any:
        return images / 2

    for option, name, expected in [
        (half, "half", IMAGES / 2),
        (keras.layers.Rescaling(0.5), "Rescaling", IMAGES / 2),
        (None, "none", IMAGES),
    ]:
        choice = resolve_preprocessing(option)
        assert choice.name == name
        np.testing.assert_array_equal(trace_call(choice.function), expected)
    with pytest.raises(OptionError, match="invalid preprocess of type float; expected a name, a function or None"):
        resolve_preprocessing(0.5)


def test_unknown_names() -> None:
    with pytest.raises(OptionError, match="did you mean 'mobilenet_v2'"):
        resolve_preprocessing("mobilenetv2")
    with pytest.raises(ModelError, match="no module no_such_module"):
        resolve_preprocessing("no_such_module:f")


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
    name = find_scaling_layer(model)
    assert bool(name) == found
    assert name == "to_unit" or not found or front is scaled_by_arithmetic
