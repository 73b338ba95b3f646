"""Models by name and from files, with their preprocessing and labels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import ModelError
from streamcam.models import MODELS, load_model
from streamcam.models.zoo.applications import APPLICATIONS, FAMILIES, find, recognise
from streamcam.options import ModelOptions
from streamcam.tf import keras, tf

from .classifiers import classifier, save_model
from .error_message import message

layers = keras.layers


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


def test_every_application_has_an_entry_of_its_own() -> None:
    assert len(APPLICATIONS) == len({entry.name for entry in APPLICATIONS.values()}) == len(MODELS) - 1
