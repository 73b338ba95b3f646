from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError, OptionError
from streamcam.models import MODELS, load_model
from streamcam.models.zoo.applications import APPLICATIONS, FAMILIES, find, recognise
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

from .error_message import message

layers = keras.layers
Build = Callable[[], Any]


def classifier(shape: tuple[int | None, ...] = (20, 30, 3), classes: int = 4, **head: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, **{"activation": "softmax", **head}),
        ]
    )


def save_model(model: Any, path: Path) -> str:
    model.save(path)
    return str(path)


class CustomModel(keras.Model):
    """A subclassed model, not registered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(4, 3)
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.mean(self.conv(x), axis=(1, 2)))


# The built-in model and the registry


@pytest.mark.parametrize("name", ["efficientnet-lite0", "EfficientNet_Lite0"])
def test_embedded(name: str) -> None:
    loaded = load_model(ModelOptions(model=name))
    assert (loaded.name, loaded.input_size, loaded.accepts_any_size) == ("efficientnet-lite0", (224, 224), True)
    assert (loaded.preprocess_name, loaded.notes) == ("efficientnet-lite0", ())
    assert loaded.labels[258] == "Samoyed"
    assert float(loaded.preprocess(tf.constant(255.0))) == 1.0


@pytest.mark.slow
def test_importing_and_listing_load_no_tensorflow() -> None:
    code = (
        "import sys; from streamcam.models import MODELS, parse_target; list(MODELS); parse_target(('a',), 'a');"
        "print([name for name in ('tensorflow', 'keras', 'av', 'cv2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_importing_tensorflow_leaves_frozen_what_the_program_has_frozen() -> None:
    code = (
        "import gc; gc.freeze(); before = gc.get_freeze_count(); import streamcam.tf;"
        "print(before > 0, gc.get_freeze_count() > before - 1000)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [True, False])
def test_importing_tensorflow_collects_no_garbage_and_leaves_the_collector_as_it_was(*, enabled: bool) -> None:
    code = (
        "import gc, json; import streamcam.models; seen = [];"
        f"gc.{'enable' if enabled else 'disable'}();"
        "gc.callbacks.append(lambda phase, info: seen.append(info['generation']));"
        "import streamcam.tf;"
        "state = gc.isenabled(), gc.get_freeze_count(), seen.count(2), len(gc.get_objects(generation=2)) > 100_000;"
        "gc.collect(); print(json.dumps([*state, seen.count(2)]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [enabled, 0, 0, True, 2]


def test_the_registry_has_every_keras_application() -> None:
    published = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(MODELS) == published | {"efficientnet-lite0"}
    assert all(entry.name == name for name, entry in MODELS.items())
    assert next(iter(MODELS)) == "efficientnet-lite0"
    assert all(callable(getattr(keras.applications, family).preprocess_input) for family in FAMILIES)


# Classifiers of keras.applications


@pytest.mark.parametrize("name", ["MobileNetV2", "mobilenet-v2", "mobilenetv2", "mobilenet_v2"])
def test_spellings_of_an_application(name: str) -> None:
    found = find(name)
    assert found is not None
    assert (found.name, found.family) == ("MobileNetV2", "mobilenet_v2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "Xception"])
def test_an_application_with_its_own_preprocessing_and_labels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = find(name)
    assert entry is not None
    build = getattr(keras.applications, name)
    asked: list[str] = []

    def without_download(*, weights: str) -> Any:
        asked.append(weights)
        return build(weights=None)

    monkeypatch.setattr(keras.applications, name, without_download)
    loaded = load_model(ModelOptions(model=name.lower()))
    assert asked == ["imagenet"]
    assert (loaded.name, loaded.preprocess_name, loaded.notes) == (name, entry.family, ())
    assert loaded.input_size == entry.input_size
    own_size = loaded.model.input_shape[2:0:-1]
    assert own_size == ((None, None) if loaded.accepts_any_size else entry.input_size)
    assert loaded.labels[89] == "sulphur-crested cockatoo"
    family = getattr(keras.applications, entry.family)
    images = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.preprocess(tf.constant(images)), family.preprocess_input(images.copy()))


def test_a_failed_download_is_one_line_and_silent(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from keras.src.utils import file_utils  # where every application fetches its weights

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(file_utils, "urlretrieve", lambda *a, **k: refuse())
    monkeypatch.setenv("KERAS_HOME", "/nonexistent")
    monkeypatch.setattr(file_utils.os.path, "exists", lambda path: False)
    talks = keras.config.is_interactive_logging_enabled()
    with pytest.raises(ModelError) as caught:
        load_model(ModelOptions(model="mobilenet-v2"))
    text = message(caught)
    assert text.startswith("the ImageNet weights of MobileNetV2 could not be loaded: ")
    assert "Name or service not known" in text
    assert "--model efficientnet-lite0" in text
    assert capfd.readouterr() == ("", "")
    assert keras.config.is_interactive_logging_enabled() == talks


# Files


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file(tmp_path: Path, suffix: str) -> None:
    original = classifier()
    loaded = load_model(ModelOptions(model=save_model(original, tmp_path / f"my{suffix}")))
    assert (loaded.name, loaded.input_size, loaded.accepts_any_size) == (f"my{suffix}", (30, 20), False)
    assert (loaded.preprocess_name, loaded.labels) == ("none", ("class 0", "class 1", "class 2", "class 3"))
    assert loaded.notes == (
        f"preprocess unknown for my{suffix}: RGB 0-255 unchanged; set it with --preprocess",
        f"labels unknown for my{suffix}: using 'class 0' to 'class 3'; set them with --labels FILE",
    )
    images = np.random.default_rng(0).random((2, 20, 30, 3), np.float32)
    np.testing.assert_allclose(loaded.model(images), original(images), atol=1e-6)


def test_options_win_over_guesses_and_silence_them(tmp_path: Path) -> None:
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    options = ModelOptions(
        model=save_model(classifier(), tmp_path / "m.keras"), preprocess="-1..1", labels=str(tmp_path / "four.txt")
    )
    loaded = load_model(options)
    assert (loaded.preprocess_name, loaded.labels, loaded.notes) == ("-1..1", ("a", "b", "c", "d"), ())


def test_a_file_that_scales_its_input_itself(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Rescaling(1 / 255, name="front"), *classifier((16, 16, 3)).layers]
    )
    loaded = load_model(ModelOptions(model=save_model(model, tmp_path / "m.keras")))
    assert loaded.notes[0] == "preprocess none: m.keras scales its input (layer front)"


@pytest.mark.slow
def test_a_saved_application_is_recognised_by_its_name(tmp_path: Path) -> None:
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))
    loaded = load_model(ModelOptions(model=save_model(model, tmp_path / "m.keras")))
    assert (loaded.preprocess_name, loaded.labels[258]) == ("mobilenet_v2", "Samoyed")
    assert [note.split(":")[0] for note in loaded.notes] == ["preprocess mobilenet_v2", "labels imagenet"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet50v2", "ResNet50V2"), ("mobilenet_1.00_224", "MobileNet"), ("functional_3", None), ("model", None)],
)
def test_recognising_model_names(name: str, expected: str | None) -> None:
    found = recognise(name)
    assert (found and found.name) == expected


def test_a_flexible_model_of_unknown_size(tmp_path: Path) -> None:
    loaded = load_model(ModelOptions(model=save_model(classifier((None, None, 3)), tmp_path / "m.keras")))
    assert (loaded.input_size, loaded.accepts_any_size) == ((224, 224), True)
    assert loaded.notes[0] == "input size unknown for m.keras, assuming 224x224"


def test_a_single_sigmoid_unit_has_two_classes(tmp_path: Path) -> None:
    loaded = load_model(
        ModelOptions(model=save_model(classifier(classes=1, activation="sigmoid"), tmp_path / "m.keras"))
    )
    assert loaded.labels == ("negative", "positive")


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


def test_every_application_has_an_entry_of_its_own() -> None:
    assert len(APPLICATIONS) == len({entry.name for entry in APPLICATIONS.values()}) == len(MODELS) - 1
