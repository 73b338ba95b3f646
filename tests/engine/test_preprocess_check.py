"""The check of a guessed preprocessing finds the range that a model was trained with, and reports only clear cases."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.engine import explainer as engine_module
from streamcam.engine.preprocess_check import FirstFramesCheck, check_preprocessing
from streamcam.engine.runtime.precision import load_probe_images
from streamcam.models import load_model
from streamcam.notes import collect_notes
from streamcam.options import ModelOptions
from streamcam.tf import keras

layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
FRAMES = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
RANGES = {"none": lambda x: x, "0..1": lambda x: x / 255, "-1..1": lambda x: x / 127.5 - 1}


def trained(name: str, channels: int = 3) -> Any:
    """A model whose batch normalisation has seen photographs in a range."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((32, 32, channels))
    convolved = layers.Conv2D(6, 3)(inputs)
    normed = layers.BatchNormalization(momentum=0.0)(convolved)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.ReLU()(normed))))
    photographs = RANGES[name](load_probe_images((32, 32)).astype(np.float32))
    if channels == 1:
        photographs = photographs @ np.array([[0.299], [0.587], [0.114]], np.float32)
    model(photographs, training=True)
    return model


@pytest.mark.parametrize("name", RANGES)
def test_the_range_of_training_fits_best(name: str) -> None:
    loaded = check_preprocessing(load_model(ModelOptions(model=trained(name))))
    assert loaded.preprocess_name == "none"  # never switched
    found = [note for note in loaded.notes if "fits" in note]
    if name == "none":
        assert not found
    else:
        (note,) = found
        assert f"the first batch normalisation fits {name} better than none (deviation 0." in note
        assert note == loaded.preprocess_guess


def test_a_greyscale_model_is_checked_too() -> None:
    loaded = check_preprocessing(load_model(ModelOptions(model=trained("0..1", channels=1))))
    assert "fits 0..1 better" in loaded.preprocess_guess


def test_without_batch_normalisation_the_logits_count() -> None:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((32, 32, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, activation="relu")(inputs))
    model = keras.Model(
        inputs,
        layers.Dense(5, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0), activation="softmax")(pooled),
    )
    loaded = check_preprocessing(load_model(ModelOptions(model=model)))
    assert "its logits fit 0..1 or -1..1 better than none (margin " in loaded.preprocess_guess


def test_a_model_that_was_never_trained_is_not_judged() -> None:
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.BatchNormalization(), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    model.layers[-1].set_weights([np.zeros((3, 3)), np.zeros(3)])
    loaded = load_model(ModelOptions(model=model))
    assert check_preprocessing(loaded) is loaded


def test_a_guess_is_a_warning_at_the_callers_line_and_in_every_result() -> None:
    model = trained("0..1")
    with pytest.warns(streamcam.PreprocessWarning, match=r"preprocess unknown .*fits 0\.\.1 better") as caught:
        explainer = streamcam.Explainer(model)
    assert [one.filename for one in caught if one.category is streamcam.PreprocessWarning] == [__file__]
    assert "preprocess none (guessed)" in repr(explainer)
    explanation = explainer.explain(IMAGES)
    assert explanation.preprocess == "none (guessed)"
    assert "preprocess none (guessed)" in repr(explanation)
    assert any("fits 0..1 better" in note for note in explanation.notes)


def test_a_preprocessing_that_was_set_is_no_guess() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", streamcam.PreprocessWarning)
        explainer = streamcam.Explainer(trained("0..1"), preprocess="0..1")
    assert "preprocess 0..1, " in repr(explainer)
    assert "guessed" not in repr(explainer.explain(IMAGES))


@pytest.fixture(scope="module")
def wrong_guess() -> Any:
    """A model that takes 0–1, with the guess that it takes 0–255; the photographs have not been checked."""
    return load_model(ModelOptions(model=trained("0..1")))


def test_the_first_typical_frames_are_checked_once(wrong_guess: Any) -> None:
    check = FirstFramesCheck()
    for unusable in (FRAMES // 8, FRAMES // 8 + 220, np.full_like(FRAMES, 120)):
        assert check(wrong_guess, lambda images=unusable: images) == ""  # type: ignore[misc]
    assert check(None, lambda: pytest.fail("the model is not in memory")) == ""
    assert check(wrong_guess, lambda: FRAMES).startswith(
        "preprocess none is a guess; on the first frames the first batch normalisation fits 0..1 better than none ("
    )
    assert check(wrong_guess, lambda: pytest.fail("checked again")) == ""


def test_first_frames_that_agree_with_the_photographs_add_no_note(wrong_guess: Any) -> None:
    assert FirstFramesCheck()(check_preprocessing(wrong_guess), lambda: FRAMES) == ""
    right_guess = load_model(ModelOptions(model=trained("none")))
    assert FirstFramesCheck()(check_preprocessing(right_guess), lambda: FRAMES) == ""
    was_set = load_model(ModelOptions(model=trained("0..1"), preprocess="none"))
    assert FirstFramesCheck()(was_set, lambda: pytest.fail("it is no guess")) == ""


def test_images_and_frames_are_checked_on_their_way_to_the_model(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "check_preprocessing", lambda loaded: loaded)
    found = "on the first frames the first batch normalisation fits 0..1 better than none"
    with pytest.warns(streamcam.PreprocessWarning, match="preprocess unknown"):
        explainer = streamcam.Explainer(trained("0..1"))
    with pytest.warns(streamcam.PreprocessWarning, match=re.escape(found)) as caught:
        explanation = explainer.explain(IMAGES)
    assert [one.filename for one in caught if one.category is streamcam.PreprocessWarning] == [__file__]
    assert [note for note in explanation.notes if found in note]
    assert not [note for note in explainer.explain(IMAGES).notes if found in note]
    notes: list[str] = []
    with collect_notes(notes.append), pytest.warns(streamcam.PreprocessWarning, match="preprocess unknown"):
        assert len(list(itertools.islice(streamcam.frames(clip, model=trained("0..1")), 12))) == 12
    assert len([note for note in notes if found in note]) == 1
