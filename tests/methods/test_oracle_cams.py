"""Methods of a feature map against NumPy and closed forms."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiled_method import compile_method
from streamcam.methods import load_method
from streamcam.models import load_model, parse_target
from streamcam.options import ModelOptions
from tests.engine.executables import build_executable, random_images, scale
from tests.engine.models import HEIGHT, WIDTH

from . import tiny_models as nets
from .oracles import INDEX, close, maps_of, relu, upsample
from .tiny_models import MAP_SIZE, reference_gradients, weights_of


@pytest.mark.parametrize("flat", [False, True])
def test_gradcam(flat: bool) -> None:
    model, images = nets.net(flat=flat), random_images(3)
    _, feature_map, gradient, _ = reference_gradients(model, scale(images), INDEX)
    weights = gradient.sum((1, 2)) / (MAP_SIZE[0] * MAP_SIZE[1])
    close(maps_of(model, "gradcam", images), relu((feature_map * weights[:, None, None]).sum(3)))


@pytest.mark.parametrize("flat", [False, True])
def test_gradcam_plus_plus(flat: bool) -> None:
    model, images = nets.net(flat=flat), random_images(3)
    _, feature_map, g, _ = reference_gradients(model, scale(images), INDEX)
    below = 2 * g**2 + g**3 * feature_map.sum((1, 2), keepdims=True)
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
    weights = (alpha * relu(g)).sum((1, 2))
    close(maps_of(model, "gradcam++", images), relu((feature_map * weights[:, None, None]).sum(3)))


@pytest.mark.parametrize("flat", [False, True])
def test_hirescam_sums_to_the_logit_without_its_bias(flat: bool) -> None:
    model, images = nets.net(flat=flat), random_images(3)
    logit, feature_map, gradient, _ = reference_gradients(model, scale(images), INDEX)
    maps = maps_of(model, "hirescam", images)
    close(maps, (feature_map * gradient).sum(3))
    np.testing.assert_allclose(maps.sum((1, 2)) + weights_of(model)[1][INDEX], logit, rtol=1e-4)
    assert (maps < 0).any()


def test_behind_an_average_hirescam_above_zero_is_gradcam() -> None:
    model, images = nets.net(), random_images(3)
    close(relu(maps_of(model, "hirescam", images)), maps_of(model, "gradcam", images))


def test_layercam() -> None:
    model, images = nets.net(flat=True), random_images(3)
    _, feature_map, gradient, _ = reference_gradients(model, scale(images), INDEX)
    close(maps_of(model, "layercam", images), relu((relu(gradient) * feature_map).sum(3)))


def scorecam(model: Any, inputs: Any, channels: int) -> Any:
    _, feature_map, _, _ = reference_gradients(model, inputs, INDEX)
    expected = []
    for one, activations in zip(inputs, feature_map, strict=True):
        strongest = np.argsort(-activations.mean((0, 1)), kind="stable")[: channels or 5]
        masked = []
        for k in strongest:
            mask = upsample(activations[..., k], *one.shape[:2])
            value_range = np.ptp(mask)
            mask = (mask - mask.min()) / value_range if value_range > 0 else np.zeros_like(mask)
            masked.append(one * mask[:, :, None])
        scores = nets.logits_of(model, np.stack(masked))[:, INDEX]
        weights = np.exp(scores - max(scores))
        expected.append(relu(activations[..., strongest] @ (weights / weights.sum())))
    return np.array(expected)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [0, 3])
def test_scorecam(channels: int) -> None:
    model, images = nets.net(flat=True), random_images(2)
    expected = scorecam(model, scale(images.astype(np.float64)), channels)
    close(maps_of(model, "scorecam", images, params={"channels": channels}), expected)


@pytest.mark.slow
def test_scorecam_of_a_saved_model_that_takes_images_as_they_are(tmp_path: Path) -> None:
    """Its layers go by names on the graph, which are to be the same in every pass."""
    model, images = nets.net(flat=True), random_images(2)
    model.export(tmp_path / "saved", verbose=False)
    known = load_model(ModelOptions(model=str(tmp_path / "saved"), preprocess=None))
    plan = compile_method(
        known,
        load_method("scorecam", {}),
        layer="auto",
        targets=(parse_target(known.labels, str(INDEX)),),
        size=(WIDTH, HEIGHT),
        batch=2,
    )
    got = plan.load("cpu", "float32")(images).maps[:, 0].astype(np.float64)
    close(got, scorecam(model, images.astype(np.float64), channels=0))


@pytest.mark.parametrize("layer", ["last", "conv2d"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_eigencam(layer: str, activation: str) -> None:
    """By positions and by channels, whichever are fewer; of either sign."""
    model, images = nets.net(activation=activation), random_images(3)
    model.layers[1].name = "conv2d"
    executable = build_executable(model, "eigencam", layer=layer)
    feature_map = nets.keras.Model(model.inputs, model.get_layer(layer).output).predict(scale(images * 1.0), verbose=0)
    for got, activations in zip(executable(images).maps[:, 0], feature_map.astype(np.float64), strict=True):
        matrix = activations.reshape(-1, activations.shape[-1])
        first = np.linalg.svd(matrix, full_matrices=False)[2][0]
        projected = matrix @ first
        projected *= np.sign(projected.sum()) or 1
        np.testing.assert_allclose(
            got, relu(projected.reshape(activations.shape[:2])), atol=2e-3 * np.abs(projected).max()
        )


def test_the_sign_of_eigencam_is_steady_while_something_moves() -> None:
    model = nets.net(activation="tanh")
    frames = np.full((16, 32, 48, 3), 40, np.uint8)
    for n, frame in enumerate(frames):
        frame[10:22, 2 * n : 2 * n + 12] = 230
    maps = build_executable(model, "eigencam", batch=16)(frames).maps[:, 0].reshape(16, -1)
    for one, other in itertools.pairwise(maps):
        assert np.vdot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)) > 0.8


def test_activations() -> None:
    model, images = nets.net(), random_images(2)
    _, feature_map, _, _ = reference_gradients(model, scale(images), INDEX)
    close(maps_of(model, "activations", images), feature_map.mean(3))
    close(maps_of(model, "activations", images, params={"filter": "2"}), feature_map[..., 2])


@pytest.mark.slow
@pytest.mark.parametrize(("patch", "stride"), [(16, 16), (16, 8), (12, 5), (20, 20)])
@pytest.mark.parametrize("fill", [None, 0.25])
def test_occlusion(patch: int, stride: int, fill: float | None) -> None:
    """Overlaps are averaged; what hangs over an edge is cut off."""
    model, images = nets.net(flat=True), random_images(1)
    inputs = scale(images.astype(np.float64))
    height, width = inputs.shape[1:3]
    filled = scale(127.5) if fill is None else fill
    whole = nets.logits_of(model, inputs)[0, INDEX]
    lost, covered = np.zeros((height, width)), np.zeros((height, width))
    hidden_images, places = [], []
    top = 0
    while True:
        left = 0
        while True:
            hidden = inputs.copy()
            hidden[0, top : top + patch, left : left + patch] = filled
            hidden_images.append(hidden[0])
            places.append(np.s_[top : top + patch, left : left + patch])
            if left + patch >= width:
                break
            left += stride
        if top + patch >= height:
            break
        top += stride
    for place, logits in zip(places, nets.logits_of(model, np.stack(hidden_images)), strict=True):
        lost[place] += whole - logits[INDEX]
        covered[place] += 1
    assert (covered > 0).all()
    params = {"patch": patch, "stride": stride} | ({} if fill is None else {"fill": fill})
    got = maps_of(model, "occlusion", images, params=params)[0]
    upsampled = np.kron(got, np.ones((height // got.shape[0], width // got.shape[1])))
    np.testing.assert_allclose(upsampled, lost / covered, atol=1e-5 * np.abs(lost).max())


def test_occlusion_finds_the_class_in_its_corner() -> None:
    model = nets.linear()
    kernel = np.zeros((32, 48, 3, 3))
    kernel[4:8, 40:44, :, INDEX] = 1.0
    model.get_layer("predictions").set_weights([kernel.reshape(-1, 3), np.zeros(3)])
    image = np.full((1, 32, 48, 3), 255, np.uint8)
    maps = maps_of(model, "occlusion", image, params={"patch": 4, "stride": 4})[0]
    assert maps.shape == (8, 12)
    expected = np.zeros((8, 12))
    expected[1, 10] = 4 * 4 * 3 * (1.0 - scale(127.5))
    np.testing.assert_allclose(maps, expected, atol=1e-4)
