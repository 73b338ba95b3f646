"""Natural patches of filters: receptive fields in closed form, planted patches, and bad input."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import streamcam
from streamcam.errors import SourceError
from streamcam.models import load_model
from streamcam.options import ModelOptions
from streamcam.studies.filters.network import FilterNetwork
from streamcam.studies.filters.patches import compile_support, receptive_field
from streamcam.tf import keras

from .test_filters import patch_model


def test_receptive_fields_have_their_closed_form() -> None:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((41, 47, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="relu", name="last")(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    network = FilterNetwork(load_model(ModelOptions(model=model)), (47, 41), "last")
    support = compile_support(network, (47, 41))
    rows, columns = 10, 11
    for row, column in ((0, 0), (4, 5), (rows - 1, columns - 1), (1, 9)):
        # Cells of the pooling, then two convolved rows each, then three pixels at a stride of two.
        spans = []
        for position, length in ((column, columns), (row, rows)):
            cells = [position + offset for offset in (-2, 0, 2) if 0 <= position + offset < length]
            spans.append((min(cells) * 2 * 2, (max(cells) * 2 + 1) * 2 + 3))
        (left, right), (top, bottom) = spans
        assert receptive_field(support, (47, 41), row * columns + column, seed=0) == (left, top, right, bottom)


def test_a_planted_patch_is_found(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(8, 8, 3, 2)).astype(np.float32)
    kernel -= kernel.mean(axis=(0, 1, 2)) - [0.01, 0]  # noise excites channel 0 more
    planted = (127 + 30 * kernel[..., 1]).clip(0, 255).astype(np.uint8)
    for name, strength in (("a.png", 0.4), ("class/b.png", 1.0), ("class/c.png", 0.7)):
        image = np.full((32, 32, 3), 127, np.uint8)
        image[16:24, 8:16] = (127 + strength * (planted.astype(int) - 127)).astype(np.uint8)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    study = streamcam.visualize_filters(
        patch_model(kernel), layer="patches", filters="strongest:1", steps=1, octaves=1, preprocess="0..1",
        patches=tmp_path,
    )  # fmt: skip
    assert study.filters[0].label == "1"
    assert study.filters[0].random < 0.5 < kernel[..., 0].sum() / 2
    patches = study.filters[0].patches
    assert [Path(one.source).name for one in patches] == ["b.png", "c.png", "a.png"]
    assert [one.box for one in patches] == [(8, 16, 16, 24)] * 3
    assert np.abs(patches[0].image.astype(int) - planted).max() <= 1
    expected = float((planted / 255 * kernel[..., 1]).sum())
    assert patches[0].activation == pytest.approx(expected, rel=0.01)
    assert study.to_dict()["filters"][0]["patches"][0]["box"] == [8, 16, 16, 24]
    plain = study.filters[0].image
    assert study.sheet().shape[1] > 192 + 60
    assert plain.shape == (32, 32, 3)


def test_frames_of_a_clip_are_apart_and_classes_take_whole_frames(clip: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(8, 8, 3, 2)).astype(np.float32)
    study = streamcam.visualize_filters(
        patch_model(kernel), layer="patches", filters="0,class:1", steps=1, octaves=1, preprocess="0..1", patches=clip
    )
    for one in study.filters:
        seconds = sorted(patch.seconds for patch in one.patches)
        assert seconds
        assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(seconds))
    assert study.filters[1].patches[0].box == (0, 0, 160, 96)
    left, top, right, bottom = study.filters[0].patches[0].box
    assert (right - left, bottom - top) == (40, 24)


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in the folder"):
        streamcam.visualize_filters("no such model", patches=tmp_path)
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        streamcam.visualize_filters("no such model", patches=tmp_path / "missing.mp4")
