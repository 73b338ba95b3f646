from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import streamcam.models
from streamcam.models.labels import imagenet_labels
from streamcam.models.zoo import efficientnet_lite0
from streamcam.tf import keras, tf

SAMPLES = Path(__file__).parents[2] / "samples"
PACKAGE = Path(streamcam.models.__file__).parent
GOLDEN = Path(__file__).parent / "data" / "efficientnet_lite0_golden.npz"
SAMOYED, ESPRESSO, EGYPTIAN_CAT = 258, 967, 285


@pytest.fixture(scope="module")
def model() -> Any:
    return efficientnet_lite0.load()


def load_sample(name: str) -> np.ndarray:
    with av.open(str(SAMPLES / name)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def squeeze(image: np.ndarray) -> np.ndarray:
    """The whole image at 224x224, by area; not the code under test."""
    rows = np.linspace(0, image.shape[0], 225).astype(int)[:-1]
    columns = np.linspace(0, image.shape[1], 225).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float64), rows, axis=0), columns, axis=1)
    areas = np.diff([*rows, image.shape[0]])[:, None] * np.diff([*columns, image.shape[1]])
    return (sums / areas[..., None]).astype(np.float32)


def probabilities(model: Any, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(efficientnet_lite0.preprocess(tf.constant(images, tf.float32)), training=False))


def logits(model: Any, image: np.ndarray) -> np.ndarray:
    pooled = keras.Model(model.inputs[0], model.get_layer("average_pool").output)
    kernel, bias = model.get_layer("predictions").get_weights()
    features = np.asarray(pooled(efficientnet_lite0.preprocess(tf.constant(image[None], tf.float32))))
    return (features @ kernel + bias)[0]


def golden_images() -> dict[str, np.ndarray]:
    """As in scripts/make_golden_logits.py."""
    chelsea, coffee = load_sample("chelsea.png"), load_sample("coffee.png")
    return {
        "chelsea": chelsea[60:284, 100:324],
        "coffee": coffee[40:264, 180:404],
        "coffee_odd": coffee[:398:2, :598:2],
    }


@pytest.mark.slow
def test_logits_are_those_of_the_original(model: Any) -> None:
    with np.load(GOLDEN) as golden:
        assert sorted(golden) == sorted(golden_images())
        for name, image in golden_images().items():
            np.testing.assert_allclose(logits(model, image), golden[name], atol=1e-2, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("name", "index", "label"), [("chelsea.png", EGYPTIAN_CAT, "Egyptian cat"), ("coffee.png", ESPRESSO, "espresso")]
)
def test_stills_are_recognised(model: Any, name: str, index: int, label: str) -> None:
    found = probabilities(model, squeeze(load_sample(name))[None])[0]
    assert found.argmax() == index
    assert found[index] > 0.5
    assert imagenet_labels()[index] == label


@pytest.mark.slow
def test_samoyed_is_recognised_in_every_frame(model: Any) -> None:
    with av.open(str(SAMPLES / "samoyed_640_nogps.mp4")) as container:
        frames = [frame for n, frame in enumerate(container.decode(video=0)) if n % 10 == 0]
        images = np.stack([squeeze(frame.to_ndarray(format="rgb24")) for frame in frames])
    found = probabilities(model, images)
    assert len(found) > 3
    assert (found.argmax(axis=1) == SAMOYED).all()
    assert found[:, SAMOYED].min() > 0.9
    assert imagenet_labels()[SAMOYED] == "Samoyed"


def test_parameters_and_outputs(model: Any) -> None:
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 4_652_008
    assert {weight.dtype for weight in model.weights} == {"float32"}
    random = np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3)).astype(np.float32)
    np.testing.assert_allclose(probabilities(model, random).sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("stem_activation", (112, 112, 32)),
        ("block0_project_bn", (112, 112, 16)),
        ("block2_add", (56, 56, 24)),
        ("block4_add", (28, 28, 40)),
        ("block7_add", (14, 14, 80)),
        ("block10_add", (14, 14, 112)),
        ("block14_add", (7, 7, 192)),
        ("block15_project_bn", (7, 7, 320)),
        ("top_activation", (7, 7, 1280)),
    ],
)
def test_feature_map_sizes_are_those_of_the_published_table(model: Any, layer: str, shape: tuple[int, ...]) -> None:
    part = keras.Model(model.inputs[0], model.get_layer(layer).output)
    assert tuple(part.compute_output_spec(keras.KerasTensor((1, 224, 224, 3))).shape) == (1, *shape)


def test_every_stored_weight_is_used_and_is_float16(model: Any) -> None:
    with np.load(PACKAGE / efficientnet_lite0.WEIGHTS) as stored:
        assert sorted(stored) == sorted(variable.path for variable in model.weights)
        assert {stored[name].dtype for name in stored} == {np.dtype(np.float16)}
        for variable in model.weights:
            np.testing.assert_array_equal(variable.numpy(), stored[variable.path].astype(np.float32))


@pytest.mark.slow
def test_saves_and_loads_as_an_ordinary_keras_file(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "copy.keras")
    again = keras.saving.load_model(tmp_path / "copy.keras")
    image = golden_images()["coffee"][None]
    np.testing.assert_array_equal(probabilities(again, image), probabilities(model, image))


def test_the_licence_and_the_samples_notice_are_there() -> None:
    data = PACKAGE / "data"
    licence = (data / "LICENSE-efficientnet-lite0").read_text()
    assert "Copyright (c) 2020, ML Illustrated" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    notice = (SAMPLES / "README.md").read_text()
    for sample in SAMPLES.iterdir():
        assert sample.name == "README.md" or f"`{sample.name}`" in notice
