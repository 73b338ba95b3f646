"""Models and options that cannot be used, each with its message."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError, OptionError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.tf import keras

from .classifiers import classifier, save_model
from .error_message import message

layers = keras.layers
Build = Callable[[], Any]


class CustomModel(keras.Model):
    """A subclassed model, not registered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(4, 3)
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.mean(self.conv(x), axis=(1, 2)))


def lambda_model() -> Any:
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Lambda(lambda x: x / 2), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )


def lambda_activation() -> Any:
    return classifier((8, 8, 3), activation=lambda x: x)


def two_inputs() -> Any:
    one, other = keras.Input((8, 8, 3)), keras.Input((4,), name="other")
    pooled = layers.GlobalAveragePooling2D()(one)
    return keras.Model([one, other], layers.Dense(2)(layers.Concatenate()([pooled, other])))


def two_outputs() -> Any:
    inputs = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, [layers.Dense(2)(pooled), layers.Dense(3)(pooled)])


def channels_first() -> Any:
    return keras.Sequential([keras.Input((3, 8, 8)), layers.Flatten(), layers.Dense(2)])


def headless() -> Any:
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)])


def tabular() -> Any:
    return keras.Sequential([keras.Input((8,)), layers.Dense(2)])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda_model, "m.keras contains Python code (a lambda), which is not executed; if you made the model"),
        (lambda_activation, "m.keras contains Python code (a lambda), which is not executed; if you made the model"),
        (
            two_inputs,
            "m.keras needs a value for each of its other inputs: other (N, 4); add --extra-input other=VALUE",
        ),
        (two_outputs, "m.keras has 2 outputs; expected one, (N, classes), as of a classifier"),
        (channels_first, "m.keras takes (N, 3, 8, 8); channels_first is not supported; expected RGB images"),
        (lambda: classifier((8, 8, 2)), "m.keras takes (N, 8, 8, 2), images of 2 channels; expected RGB images"),
        (headless, "the output of m.keras is (N, 6, 6, 2); expected (N, classes), as of a classifier"),
        (tabular, "m.keras takes (N, 8); expected RGB images (N, height, width, 3)"),
        (
            CustomModel,
            "m.keras needs CustomModel, whose code is not in the file; write a function that imports CustomModel",
        ),
    ],
)
def test_models_that_cannot_be_used(tmp_path: Path, build: Build, expected: str) -> None:
    model = build()
    if isinstance(model, CustomModel):
        model(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=save_model(model, tmp_path / "m.keras")))
    assert expected in message(caught)


def test_a_custom_layer_in_an_h5_file(tmp_path: Path) -> None:
    class Twice(layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    model = keras.Sequential([keras.Input((8, 8, 3)), Twice(), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=save_model(model, tmp_path / "m.h5")))
    assert "m.h5 needs Twice, whose code is not in the file" in message(caught)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("damage", [half, lambda data: b"", lambda data: b"text\n" * 200])
def test_damaged_files(tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"m{suffix}"
    classifier().save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=str(path)))
    assert str(path) in message(caught)
    assert "expected a .keras or .h5 file" in message(caught)


def test_an_archive_that_is_no_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match=r"m\.keras cannot be read: KeyError.*config\.json"):
        load_model(ModelOptions(model=str(tmp_path / "m.keras")))


def test_weights_without_a_model(tmp_path: Path) -> None:
    classifier().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ModelError, match="contains weights only"):
        load_model(ModelOptions(model=str(tmp_path / "m.weights.h5")))


def test_what_is_not_a_model_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    for model, expected in [
        (tmp_path, "is a folder without a saved_model.pb; expected a .keras or .h5 file"),
        (tmp_path / "m.onnx", "m.onnx is an ONNX file; expected a .keras or .h5 file"),
        (tmp_path / "missing.keras", "no such file: --model "),
    ]:
        with pytest.raises(ModelError) as caught:
            load_model(ModelOptions(model=str(model)))
        assert expected in message(caught)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mobilnetv2", "did you mean 'MobileNetV2'"),
        ("efficient-lite0", "'efficientnet-lite0'"),
        ("qqqqqqqq", "expected"),
    ],
)
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model=name))
    assert message(caught).startswith(f"unknown --model {name!r}")
    assert hint in message(caught)


def test_options_that_cannot_be_used(tmp_path: Path) -> None:
    path = save_model(classifier(), tmp_path / "m.keras")
    with pytest.raises(OptionError, match=r"--labels imagenet has 1000 classes; expected 4, the classes of m\.keras"):
        load_model(ModelOptions(model=path, labels="imagenet"))
    with pytest.raises(OptionError, match="unknown --preprocess 'imagenet'"):
        load_model(ModelOptions(model=path, preprocess="imagenet"))
