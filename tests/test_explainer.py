"""Images from Python: `Explainer` and `Explanation`."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import streamcam
from streamcam.engine.runtime.replica import DeviceReplica
from streamcam.tf import keras, tf
from tests.engine import models
from tests.engine.executables import build_executable, random_images, scale
from tests.engine.models import HEIGHT, MAP_SIZE, WIDTH
from tests.marks import pairs

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@pytest.fixture(scope="module")
def model() -> Any:
    return models.functional()


@pytest.fixture(scope="module")
def explainer(model: Any) -> streamcam.Explainer:
    return streamcam.Explainer(model, preprocess=scale, labels=list("abcde"), precision="float32")


@pytest.mark.slow
def test_images_of_the_models_size_are_explained_as_they_are(explainer: streamcam.Explainer, model: Any) -> None:
    images = random_images(11)  # more than a batch
    found = explainer.explain(images)
    result = build_executable(model)(images[:4])
    np.testing.assert_allclose(found.maps[:4], result.maps[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.scores[:4], result.scores[:, 0], rtol=1e-4)
    assert found.maps.shape == (11, *MAP_SIZE)
    assert found.maps.dtype == np.float32
    assert len(found) == 11
    assert (found.method, found.layer, found.map_kind) == ("gradcam", "last", "heat")
    assert found.targets[0] == "abcde"[int(result.classes[0, 0])] == found.top[0][0][0]
    assert found.top[0][0][1] == pytest.approx(float(found.probabilities[0]))


@pytest.mark.parametrize("form", [list, tuple, tf.constant])
def test_every_form_of_the_same_images_gives_the_same(explainer: streamcam.Explainer, form: Any) -> None:
    images = random_images(2)
    np.testing.assert_array_equal(explainer.explain(form(images)).maps, explainer.explain(images).maps)


def test_one_image_is_a_batch_of_one_and_its_overlay_an_image(explainer: streamcam.Explainer) -> None:
    image = random_images(1)[0]
    found = explainer.explain(image)
    assert found.maps.shape == (1, *MAP_SIZE)
    assert found.overlay().shape == image.shape
    assert explainer.explain(image[None]).overlay().shape == (1, *image.shape)


@pytest.mark.slow
def test_images_of_any_size_and_of_several_at_once() -> None:
    explainer = streamcam.Explainer(models.any_size(), preprocess=scale)
    wide, tall = np.random.default_rng(0).integers(0, 256, (90, 250, 3), np.uint8), np.zeros((200, 60, 3), np.uint8)
    one = explainer.explain(wide)
    assert one.geometries[0].input == one.geometries[0].scaled != (224, 224)
    both = explainer.explain([wide, tall])
    assert {geometry.input for geometry in both.geometries} == {(224, 224)}
    drawn = both.overlay()
    assert [image.shape for image in drawn] == [wide.shape, tall.shape]
    fixed = streamcam.Explainer(models.any_size(), preprocess=scale, fit="native")
    with pytest.raises(streamcam.OptionError, match="several shapes"):
        fixed.explain([wide, tall])


@pytest.mark.slow
def test_several_targets_have_an_axis_of_their_own(model: Any) -> None:
    explainer = streamcam.Explainer(model, target=["top", 2, "1 - 0"], preprocess=scale, precision="float32")
    found = explainer.explain(random_images(2))
    assert found.maps.shape == (2, 3, *MAP_SIZE)
    assert found.scores.shape == found.probabilities.shape == (2, 3)
    assert found.targets[0][1:] == ("class 2", "class 1 − class 0")
    assert np.isnan(found.probabilities[:, 2]).all()
    alone = streamcam.Explainer(model, target=2, preprocess=scale, precision="float32").explain(random_images(2))
    np.testing.assert_allclose(found.maps[:, 1], alone.maps, atol=1e-6)
    np.testing.assert_array_equal(found.overlay(target=1), alone.overlay())
    assert streamcam.Explainer(model, target=[2], preprocess=scale).explain(random_images(1)).maps.shape == (
        1,
        1,
        *MAP_SIZE,
    )


def test_it_is_a_frozen_value_that_tells_what_it_is(explainer: streamcam.Explainer) -> None:
    found = explainer.explain(random_images(5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.layer = "another"  # type: ignore[misc]
    text = repr(found)
    assert text.startswith("<Explanation: gradcam at last, ")
    assert f"maps (5, {MAP_SIZE[0]}, {MAP_SIZE[1]})" in text
    assert "and 2 more" in text
    assert f"{found.targets[0]} {found.probabilities[0]:.0%}" in text
    assert "gradcam of functional" in repr(explainer)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
        (np.zeros((4, 4, 1), np.uint8), r"shape \(4, 4, 1\)"),
        (np.full((4, 4, 3), 300.0), "300.*expected 0 to 1"),
        ([], "empty"),
        (np.zeros((0, 4, 4, 3), np.uint8), "shape|empty"),
    ],
)
def test_what_are_no_images_is_said(explainer: streamcam.Explainer, images: Any, says: str) -> None:
    with pytest.raises(streamcam.OptionError, match=says):
        explainer.explain(images)


def test_an_overlay_lies_where_the_evidence_is() -> None:
    """A bright square on black, and a model whose attribution is brightness."""
    image = np.zeros((120, 200, 3), np.uint8)
    image[30:54, 150:174] = 255
    found = streamcam.Explainer("tests.pipeline.models:brightness", preprocess=None, target=1).explain(image)
    heat = found.overlay(layout="heatmap", colormap="viridis").astype(float).sum(2)
    weight = np.maximum(heat - (heat.min() + 0.9 * np.ptp(heat)), 0)
    rows, columns = np.indices(weight.shape) + 0.5
    centre = (rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()
    np.testing.assert_allclose(centre, (42, 162), atol=8)
    np.testing.assert_array_equal(found.overlay()[:, :100], image[:, :100])


@pytest.mark.parametrize(
    ("mode", "fit"),
    pairs(
        ["RGB", "RGBA", "L", "P", "1"],
        ["native", "stretch", "crop", "letterbox"],
        fast=lambda *_: False,
        kept=lambda mode, fit: mode == "RGB" or fit == "native",
    ),
)
def test_an_image_gives_the_model_the_pixels_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, fit: Any
) -> None:
    """`streamcam.process` on a PNG and `Explainer` on its pixels: the same model input and map, bit for bit."""
    path = tmp_path / "i.png"
    image = Image.open(SAMPLES / "chelsea.png").crop((0, 0, 301, 299)).convert(mode)
    image.save(path)
    runs: list[tuple[Any, Any]] = []
    run_batch = DeviceReplica.__call__

    def record(replica: DeviceReplica, images: Any, *rest: Any) -> Any:
        result = run_batch(replica, images, *rest)
        runs.append((images, result.maps))
        return result

    monkeypatch.setattr(DeviceReplica, "__call__", record)
    options: dict[str, Any] = {"model": "tests.pipeline.models:brightness", "preprocess": "none", "fit": fit}
    streamcam.process(path, tmp_path / "o.png", **options)
    streamcam.Explainer(**options | {"preprocess": None}).explain(np.asarray(image.convert("RGB")))
    (file_input, file_maps), (array_input, array_maps) = runs
    assert array_input.dtype == np.uint8
    assert np.ptp(array_input) > 100
    np.testing.assert_array_equal(file_input, array_input)
    np.testing.assert_array_equal(file_maps, array_maps)


def test_overlays_on_other_images_must_have_their_sizes(explainer: streamcam.Explainer) -> None:
    image = random_images(1)[0]
    found = explainer.explain(image)
    drawn = found.overlay(np.zeros_like(image), scale=1e9)
    assert (drawn == 0).all()
    with pytest.raises(streamcam.OptionError, match="differ"):
        found.overlay(image[:-1])
    with pytest.raises(streamcam.OptionError, match="--alpha"):
        found.overlay(alpha=2)


@pytest.mark.slow
def test_an_output_that_is_not_finite_is_a_zero_map_and_noted() -> None:
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    x = keras.layers.Conv2D(4, 3, strides=8, padding="same", activation="relu")(inputs)
    bright = keras.ops.where(keras.ops.mean(inputs, axis=(1, 2)) > 250.0, float("nan"), 0.0)
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)) + bright
    broken = keras.Model(inputs, keras.layers.Softmax()(x))
    images = random_images(3)
    images[1] = 255
    for method, params in (("gradcam", {}), ("smoothgrad", {"steps": 2}), ("occlusion", {"patch": 16})):
        found = streamcam.Explainer(broken, method, params=params, preprocess=None).explain(images)
        assert np.isnan(found.scores[1])
        assert np.isfinite(found.scores[[0, 2]]).all()
        assert np.isfinite(found.maps).all()
        assert (found.maps[1] == 0).all()
        assert found.maps[0].any()
        assert found.notes[-1] == "image 1: the model's answer is not a number"


def test_progress_is_reported_for_methods_of_many_passes(model: Any) -> None:
    progress: list[tuple[int, int]] = []
    explainer = streamcam.Explainer(model, "occlusion", params={"patch": 16, "stride": 16}, preprocess=scale)
    explainer.explain(random_images(2), progress=lambda done, total: progress.append((done, total)))
    assert progress[-1] == (14, 14)  # 6 patches and the image itself, twice
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})


@pytest.mark.slow
def test_what_progress_raises_ends_it(model: Any) -> None:
    explainer = streamcam.Explainer(model, "occlusion", params={"patch": 8}, preprocess=scale)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explainer.explain(random_images(2), progress=stop)
    assert explainer.explain(random_images(1)).maps.any()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "guided-backprop", "occlusion"])
def test_what_is_dropped_is_gone(model: Any, method: str) -> None:
    explainer = streamcam.Explainer(model, method, preprocess=scale)
    explainer.explain(random_images(1))
    executable = next(iter(explainer._engine._prepared.values()))[0][0].executable
    graphs = [weakref.ref(executable.first.graph)]
    if executable.passes is not None:
        graphs += [weakref.ref(executable.passes.step.graph), weakref.ref(executable.passes.finish.graph)]
    del explainer, executable
    gc.collect()
    assert [graph() for graph in graphs] == [None] * len(graphs)


@pytest.mark.slow
def test_the_readme_shows_what_works() -> None:
    explainer = streamcam.Explainer("efficientnet-lite0", method="gradcam", target=["top", "tabby - tiger cat"])
    explanation = explainer.explain(Image.open(SAMPLES / "chelsea.png").convert("RGB"))
    assert explanation.targets == (("Egyptian cat", "tabby − tiger cat"),)
    assert explanation.overlay().shape == (300, 451, 3)


def test_methods_and_targets_may_be_functions(model: Any) -> None:
    def strength(traced: Any, *, power: int = 1) -> Any:
        return tf.reduce_sum(traced.activations, axis=3) ** power

    def first_two(logits: Any) -> Any:
        return logits[:, 0] + logits[:, 1]

    explainer = streamcam.Explainer(model, strength, params={"power": 2}, target=first_two, preprocess=scale)
    found = explainer.explain(random_images(2))
    assert (found.method, found.targets, found.maps.shape) == ("strength", ("first_two",) * 2, (2, *MAP_SIZE))
    assert "target first_two" in repr(explainer)

    def broken_method(traced: Any) -> Any:
        raise ValueError("inside")

    with pytest.raises(streamcam.MethodError, match="method failed: ValueError: inside"):
        streamcam.Explainer(model, broken_method, preprocess=scale).explain(random_images(1))


@pytest.mark.parametrize("wrong", [{"scale": "running"}, {"scale": -1.0}, {"target": 1}, {"layout": "beside"}])
def test_an_overlay_that_cannot_be_is_said(explainer: streamcam.Explainer, wrong: Any) -> None:
    with pytest.raises(streamcam.OptionError):
        explainer.explain(random_images(1)).overlay(**wrong)


def test_an_index_of_numpy_is_one_target(model: Any) -> None:
    found = streamcam.Explainer(model, target=np.int64(2), preprocess=scale).explain(random_images(1))  # type: ignore[arg-type]
    assert found.maps.shape == (1, *MAP_SIZE)
