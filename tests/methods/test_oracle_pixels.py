"""Methods of the model's input against NumPy and closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compile import compile_method
from streamcam.methods import load_method
from streamcam.models import load_model
from streamcam.models.targets import TargetSet
from streamcam.options import ModelOptions
from tests.engine.executables import build_executable, random_images, scale
from tests.engine.models import HEIGHT, WIDTH

from . import tiny_models as nets
from .oracles import INDEX, close, maps_of, relu, upsample
from .tiny_models import reference_gradients, weights_of

pytestmark = pytest.mark.slow


def linear_weights(model: Any) -> Any:
    return weights_of(model)[0][:, INDEX].reshape(HEIGHT, WIDTH, 3)


def test_saliency_of_a_linear_net() -> None:
    model = nets.linear()
    maps = maps_of(model, "saliency", random_images(2))
    for got in maps:
        close(got, np.abs(linear_weights(model)).max(2))


def test_saliency() -> None:
    model, images = nets.net(), random_images(2)
    close(maps_of(model, "saliency", images), np.abs(reference_gradients(model, scale(images), INDEX)[3]).max(3))


def test_gradient_x_input_sums_to_the_logit_where_there_is_no_bias() -> None:
    model, images = nets.net(bias=False), random_images(3)
    logit, _, _, gradient = reference_gradients(model, scale(images), INDEX)
    maps = maps_of(model, "gradient-x-input", images)
    close(maps, (scale(images.astype(np.float64)) * gradient).sum(3))
    np.testing.assert_allclose(maps.sum((1, 2)), logit, rtol=1e-3, atol=1e-5)


def test_smoothgrad_without_noise_is_the_vanilla_gradient() -> None:
    model, images = nets.net(), random_images(2)
    close(maps_of(model, "smoothgrad", images, params={"noise": 0.0, "steps": 3}), maps_of(model, "saliency", images))


def test_smoothgrad_is_the_mean_gradient_around_the_image() -> None:
    """A quadratic net has the gradient 2wx: its mean over many noisy copies is that of the image, within 5 sigma."""
    model, images = nets.quadratic(), random_images(1)
    steps, noise = 400, 0.15
    x, weights = scale(images.astype(np.float64))[0], linear_weights(model)
    got = maps_of(model, "smoothgrad", images, params={"steps": steps, "noise": noise})[0]
    error = 5 * np.abs(2 * weights).max() * noise * np.ptp(x) / np.sqrt(steps)
    np.testing.assert_allclose(got, np.abs(2 * weights * x).max(2), atol=error)
    few = maps_of(model, "smoothgrad", images, params={"steps": 1, "noise": noise})[0]
    assert np.abs(few - np.abs(2 * weights * x).max(2)).max() > error


@pytest.mark.parametrize("baseline", [None, 0.5])
def test_integrated_gradients_of_a_linear_net(baseline: float | None) -> None:
    model, images = nets.linear(), random_images(2)
    start = scale(0.0) if baseline is None else baseline
    params = {"steps": 1} | ({} if baseline is None else {"baseline": baseline})
    expected = ((scale(images.astype(np.float64)) - start) * linear_weights(model)).sum(3)
    close(maps_of(model, "integrated-gradients", images, params=params), expected)


def test_integrated_gradients_of_a_quadratic_net() -> None:
    """The mean of the gradient 2wx on the way is w(x + x'): so the map is w(x² − x'²), at any number of midpoints."""
    model, images = nets.quadratic(), random_images(2)
    x, start = scale(images.astype(np.float64)), scale(0.0)
    expected = ((x**2 - start**2) * linear_weights(model)).sum(3)
    close(maps_of(model, "integrated-gradients", images, params={"steps": 4}), expected)


@pytest.mark.slow
def test_integrated_gradients_are_complete_and_say_by_how_much_not() -> None:
    model, images = nets.net(activation="tanh", flat=True), random_images(3)
    x = scale(images.astype(np.float64))
    difference = (nets.logits_of(model, x) - nets.logits_of(model, np.full_like(x, scale(0.0))))[:, INDEX]
    gaps = []
    for steps in (2, 200):
        result = build_executable(model, "integrated-gradients", target=str(INDEX), params={"steps": steps})(images)
        total = result.maps[:, 0].astype(np.float64).sum((1, 2))
        gap = np.abs(total - difference) / np.maximum(np.abs(difference), 1)
        np.testing.assert_allclose(result.quality_metrics["completeness gap"][:, 0], gap, atol=2e-4)
        gaps.append(gap.max())
    assert gaps[1] < 0.01 < gaps[0]


def test_guided_gradcam_is_the_product_of_the_two() -> None:
    model, images = nets.net(), random_images(2)
    coarse = maps_of(model, "gradcam", images)
    enlarged = np.stack([upsample(one, HEIGHT, WIDTH) for one in coarse])
    close(maps_of(model, "guided-gradcam", images), enlarged * np.abs(maps_of(model, "guided-backprop", images)))


def test_guided_backprop_of_two_convolutions() -> None:
    """Written out: R = R · 1[R > 0] · 1[x > 0] at each ReLU, with the convolutions transposed by a tape."""
    model, images = nets.net(), random_images(2)
    tf, x = nets.tf, nets.tf.constant(scale(images.astype(np.float32)))
    first, second = (layer for layer in model.layers if hasattr(layer, "strides"))

    def convolve(layer: Any, value: Any) -> Any:
        return tf.nn.conv2d(value, layer.kernel, layer.strides, "SAME") + layer.bias

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        before_first = convolve(first, x)
        after_first = tf.nn.relu(before_first)
        before_second = convolve(second, after_first)
    weights = weights_of(model)[0][:, INDEX].astype(np.float32) / before_second.shape[1] / before_second.shape[2]
    signal = relu(np.broadcast_to(weights, before_second.shape)) * (before_second.numpy() > 0)
    signal = tape.gradient(before_second, after_first, output_gradients=tf.constant(signal)).numpy()
    signal = relu(signal) * (before_first.numpy() > 0)
    expected = tape.gradient(before_first, x, output_gradients=tf.constant(signal)).numpy()
    got = maps_of(model, "guided-backprop", images)
    close(got, np.take_along_axis(expected, np.abs(expected).argmax(3)[..., None], 3)[..., 0])
    assert got.min() < 0 < got.max()
    assert np.abs(np.abs(got) - maps_of(model, "saliency", images)).max() > 0.05 * got.max()


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_a_blank_image_is_prepared_like_the_others(method: str) -> None:
    """Preprocessing that leaves every second row and column out."""
    model = nets.linear()
    known = replace(load_model(ModelOptions(model=model)), preprocess=lambda images: scale(images[:, ::2, ::2]))
    large = np.random.default_rng(3).integers(0, 256, (2, 2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    params = {"patch": 8, "stride": 8} if method == "occlusion" else {"steps": 2}
    codes = TargetSet(known.labels, [str(INDEX)]).codes
    size = (2 * WIDTH, 2 * HEIGHT)
    plan = compile_method(known, load_method(method, params), layer="auto", size=size, batch=2)
    blank = scale(127.5 if method == "occlusion" else 0.0)
    expected = ((scale(large[:, ::2, ::2].astype(np.float64)) - blank) * linear_weights(model)).sum(3)
    if method == "occlusion":
        expected = expected.reshape(2, HEIGHT // 8, 8, WIDTH // 8, 8).sum((2, 4))
    close(plan.load("cpu", "float32")(large, codes).maps[:, 0], expected)
