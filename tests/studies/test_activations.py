"""Activations of layers: maps against Keras, planted channels, files, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import streamcam
from streamcam.studies import activation_sheet
from streamcam.tf import keras
from tests.cli.runner import cli, one_line
from tests.engine import models
from tests.engine.executables import random_images, scale
from tests.engine.models import HEIGHT, WIDTH

L = keras.layers


def planted_model() -> Any:
    """A layer of known channels over an image from `planted_image`."""
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(7, 1, activation="relu", name="planted")(inputs)
    x = L.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="later")(x)
    model = keras.Model(inputs, L.Dense(2, name="predictions")(L.GlobalAveragePooling2D()(x)))
    kernel, bias = np.zeros((3, 7)), np.zeros(7)
    kernel[0, 0] = 1  # a gradient to the right
    kernel[2, 1], bias[1] = -1, -0.5  # dead
    kernel[0, 2] = 2.5  # channel 0, scaled
    kernel[1, 3] = 1  # noise
    kernel[2, 4] = 1  # a gradient downward
    kernel[0, 5] = 1  # channel 0
    kernel[:, 6] = 0.5, 0, 0.5
    model.get_layer("planted").set_weights([kernel.reshape(1, 1, 3, 7), bias])
    return model


def planted_image(seed: int = 0) -> Any:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, WIDTH)[None]
    image[..., 1] = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH))
    image[..., 2] = np.linspace(0, 200, HEIGHT)[:, None]
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted model and image as files."""
    path = tmp_path_factory.mktemp("activations")
    planted_model().save(path / "planted.keras")
    Image.fromarray(planted_image()).save(path / "planted.png")
    return path


@pytest.fixture(scope="module")
def planted() -> streamcam.Activations:
    images = np.stack([planted_image(seed) for seed in range(11)])  # more than a batch
    return streamcam.show_activations(images, model=planted_model(), preprocess="0..1", layers=["planted", "later"])


def test_notes_name_no_classes(planted: streamcam.Activations) -> None:
    assert not [note for note in planted.notes if "labels" in note]


def test_planted_channels_are_found(planted: streamcam.Activations) -> None:
    found = planted.to_dict()["layers"][0]
    assert {name: found[name] for name in ("channels", "dead", "duplicates", "duplicate_of", "noise")} == {
        "channels": 7,
        "dead": [1],
        "duplicates": [2, 5],
        "duplicate_of": [0, 0],
        "noise": [3],
    }
    assert (found["num_dead"], found["num_duplicates"], found["num_noise"]) == (1, 2, 1)
    assert planted.num_frames == 11
    np.testing.assert_array_equal(planted.image, planted_image())
    np.testing.assert_allclose(planted.layers[0].maps[..., 3], planted_image()[..., 1] / 255, atol=1e-6)
    assert planted.layers[0].strongest(1) == (2,)


def keras_outputs(model: Any, inputs: Any) -> dict[str, Any]:
    """Outputs of the layers of a functional model, by Keras itself; of a nested model those inside."""
    (nested,) = [layer for layer in model.layers if isinstance(layer, keras.Model)] or [None]
    if nested is not None:
        return {f"{nested.name}/{name}": value for name, value in keras_outputs(nested, inputs).items()}
    names = [layer.name for layer in model.layers if not isinstance(layer, L.InputLayer)]
    values = keras.Model(model.inputs, [model.get_layer(name).output for name in names]).predict(inputs, verbose=0)
    return dict(zip(names, values, strict=True))


def multi_branch() -> Any:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    left = L.Conv2D(4, 3, strides=4, padding="same", activation="gelu", name="left")(inputs)
    right = L.BatchNormalization(name="norm")(L.Conv2D(4, 5, strides=4, padding="same", name="right")(inputs))
    x = L.Concatenate(name="joined")([left, right])
    x = L.Conv2D(6, 3, strides=2, padding="same", name="last")(x)
    output = L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(x))
    return models.randomize_weights(keras.Model(inputs, output))


BUILDS = {
    "functional": models.functional,
    "sequential": models.sequential,
    "nested": models.nested_model,
    "multi_branch": multi_branch,
}


@pytest.mark.parametrize("name", BUILDS)
def test_maps_are_those_of_keras(name: str) -> None:
    model, images = BUILDS[name](), random_images(1)
    expected = {
        path: value for path, value in keras_outputs(model, scale(images.astype("f"))).items() if value.ndim == 4
    }
    found = streamcam.show_activations(images, model=model, preprocess=scale, layers=list(expected))
    assert [layer.path for layer in found.layers] == list(expected)
    for layer in found.layers:
        np.testing.assert_allclose(layer.maps, expected[layer.path][0], rtol=1e-4, atol=1e-5, err_msg=layer.path)
        assert layer.maps.dtype == np.float32


def test_maps_of_a_subclassed_model_are_those_of_keras() -> None:
    model, images = models.subclassed_model(), random_images(1)
    found = streamcam.show_activations(images, model=model, preprocess=scale, layers="convolution, norm,relu")
    convolution = model.convolution(scale(images.astype("f")))
    norm = model.norm(convolution, training=False)
    for layer, expected in zip(found.layers, (convolution, norm, np.maximum(norm, 0)), strict=True):
        np.testing.assert_allclose(layer.maps, np.asarray(expected)[0], rtol=1e-4, atol=1e-5)


def test_auto_takes_the_last_layer_of_each_resolution() -> None:
    found = streamcam.show_activations(random_images(1), model=models.functional(), preprocess=scale).layers
    assert [(layer.kind, layer.spatial_shape, layer.stride) for layer in found] == [
        ("ReLU", (HEIGHT // 2, WIDTH // 2), (2, 2)),
        ("Add", (HEIGHT // 4, WIDTH // 4), (4, 4)),
        ("ReLU", (HEIGHT // 8, WIDTH // 8), (8, 8)),
    ]


def test_auto_spreads_over_layers_of_one_resolution() -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Reshape((-1, 8))(L.Conv2D(8, 8, strides=8, name="patches")(inputs))
    for number in range(8):
        x = L.Add(name=f"block{number}")([x, L.Dense(8, activation="relu")(x)])
    model = keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling1D()(x)))
    found = streamcam.show_activations(random_images(1), model=model, preprocess=scale).layers
    assert [layer.path for layer in found] == ["block1", "block3", "block5", "block7"]
    assert found[0].spatial_shape == (HEIGHT // 8, WIDTH // 8)


def test_scales_are_own_or_shared(planted: streamcam.Activations) -> None:
    sheets = {}
    for scale_name in ("own", "shared"):
        options = streamcam.options.ActivationOptions(scale=scale_name)
        sheet = activation_sheet.ActivationSheet(planted, options)
        sheets[scale_name] = sheet.draw(planted.image, [layer.maps for layer in planted.layers])
    yellow = {name: (sheet == (253, 231, 37)).all(axis=2).sum() for name, sheet in sheets.items()}
    assert yellow["own"] > 2 * yellow["shared"] > 0


def test_sheet_survives_png(planted: streamcam.Activations, tmp_path: Path) -> None:
    path = planted.save(tmp_path / "sheet.png")
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), planted.sheet())
    assert planted._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(streamcam.SinkError, match="exists already"):
        planted.save(path)
    assert planted.save(path, overwrite=True) == path


def test_grid_video_has_a_frame_for_each_frame(planted: streamcam.Activations, tmp_path: Path) -> None:
    path = planted.save(tmp_path / "grid.mkv")
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
    height, width = planted.sheet().shape[:2]
    assert [(frame.width, frame.height) for frame in frames] == [(width, height)] * 11
    assert [frame.time for frame in frames] == list(range(11))
    difference = np.abs(frames[0].to_ndarray(format="rgb24").astype(int) - planted.sheet())
    assert difference.mean() < 4  # lossy, and with the time
    assert (frames[0].to_ndarray() != frames[5].to_ndarray()).any()


def test_a_sheet_that_is_too_large_is_refused(planted: streamcam.Activations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_sheet, "MAX_SHEET_PIXELS", 10_000)
    with pytest.raises(streamcam.OptionError, match="use fewer --layers or --channels"):
        planted.sheet()


def test_frames_that_are_not_finite_are_omitted() -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = L.Conv2D(2, 1, name="root", kernel_initializer="ones", activation=keras.ops.sqrt)(inputs)
    model = keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    images = np.stack([np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (200, 3, 220)])
    found = streamcam.show_activations(images, model=model, preprocess=scale)
    assert found.num_frames == 2
    assert "1 of 3 frames are omitted: their activations are not finite" in found.notes
    with pytest.raises(streamcam.StreamcamError, match="all frames of images are not finite"):
        streamcam.show_activations(images[1], model=model, preprocess=scale)


def test_images_of_several_sizes_are_refused() -> None:
    images = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)]
    with pytest.raises(streamcam.OptionError, match="images of 8x8 and 9x8; expected images of one size"):
        streamcam.show_activations(images)


def test_command_writes_sheet_and_json(folder: Path) -> None:
    sheet = folder / "sheet.png"
    arguments = ["activations", folder / "planted.png", "--model", folder / "planted.keras", "--preprocess", "0..1"]
    result = cli(*arguments, "-o", sheet, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [layer["path"] for layer in report["layers"]] == ["planted", "later"]
    layer = report["layers"][0]
    assert (layer["channels"], layer["dead"], layer["duplicates"], layer["noise"]) == (7, [1], [2, 5], [3])
    assert (layer["shape"], report["frames"], report["output"]) == ([HEIGHT, WIDTH, 7], 1, str(sheet))
    with Image.open(sheet) as image:
        assert image.size[0] >= 720
    again = cli(*arguments, "-o", sheet)
    assert again.exit_code == 1
    assert "exists already" in one_line(again.stderr)


def test_command_writes_a_grid_video_and_a_table(folder: Path, clip: Path) -> None:
    grid = folder / "grid.mp4"
    arguments = ["--model", folder / "planted.keras", "--layers", "planted", "--preprocess", "0..1", "--end", "0.4"]
    result = cli("activations", clip, *arguments, "-o", grid, "--quiet")
    assert result.exit_code == 0, result.output
    header, row = result.stdout.splitlines()
    assert header.split() == ["layer", "output", "dead", "duplicates", "noise"]
    assert row.split()[:4] == ["planted", f"{HEIGHT}x{WIDTH}x7", "1:", "1"]
    with av.open(str(grid)) as video:
        assert [round(frame.time, 3) for frame in video.decode(video=0)] == [n / 25 for n in range(10)]
        assert not video.streams.audio


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["planted.png", "--layers", "plantd"], 1, "unknown layer 'plantd'; did you mean 'planted'?"),
        (["planted.png", "--layers", "predictions"], 1, "no feature map: after the pooling"),
        (["missing.png"], 1, "missing.png does not exist"),
        (["planted.keras"], 1, "planted.keras"),
        (["planted.png", "-o", "sheet.tiff"], 2, "has the suffix '.tiff'; expected one of"),
        (["planted.png", "-o", "missing/sheet.png"], 1, "does not exist"),
        (["planted.png", "--channels", "0"], 2, "invalid --channels 0; expected 1 to 4096"),
        (["planted.png", "--scale", "frame"], 2, "unknown --scale 'frame'; expected one of own, shared"),
        (["planted.png", "--layers", ","], 2, "--layers is empty"),
    ],
)
def test_failures_are_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, problem: str
) -> None:
    monkeypatch.chdir(folder)
    result = cli("activations", *arguments, "--model", "planted.keras", "--preprocess", "0..1", "--quiet")
    assert result.exit_code == code, result.output
    assert problem in one_line(result.stderr)


def test_a_model_without_feature_maps_is_refused() -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(inputs)))
    with pytest.raises(streamcam.LayerError, match="the model has no layer whose output is a feature map"):
        streamcam.show_activations(random_images(1), model=model, preprocess=scale)
