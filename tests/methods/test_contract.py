"""What every method promises on every build of a model."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from streamcam.engine.compiled_method import BatchResult, Executable
from streamcam.errors import MethodError, OptionError
from streamcam.methods import METHODS, MethodContext, load_method, method_map_kind, parameters
from streamcam.tf import keras
from tests.engine.executables import build_executable, random_images
from tests.engine.models import EVERY_BUILD, HEIGHT, MAP_SIZE, WIDTH
from tests.marks import pairs

CUSTOM = "tests.methods.custom_methods"
SMALL: dict[str, dict[str, Any]] = {
    "scorecam": {"channels": 3},
    "smoothgrad": {"steps": 2},
    "integrated-gradients": {"steps": 3},
    "occlusion": {"patch": 16, "stride": 16},
}
"""Enough passes to see that they are kept apart."""
TARGETS = ("top", "1", "0 - 1")
BATCH = 2
BLIND = ("eigencam", "activations")
"""They ask for no class."""


def state(model: Any) -> tuple[list[bytes], dict[str, list[str]]]:
    """Weights bit for bit, and what hangs on each layer."""
    layers = model._flatten_layers()
    return [w.tobytes() for w in model.get_weights()], {f"{id(one)}": sorted(one.__dict__) for one in layers}


@cache
def build_and_explain(build: str, method: str) -> tuple[Any, Executable, BatchResult, bool]:
    """A model, its executable, the result for two images, and whether the model is as before."""
    keras.utils.set_random_seed(4)  # regardless of earlier tests in this process
    model = EVERY_BUILD[build]()
    before = state(model)
    executable = build_executable(model, method, target=TARGETS, batch=BATCH, params=SMALL.get(method, {}))
    result = executable(random_images(BATCH))
    return model, executable, result, state(model) == before


def rounding(result: BatchResult) -> float:
    """What the order of additions may change: maps can be small differences of large scores."""
    return 1e-5 * float(np.abs(result.maps).max()) + 1e-6 * float(np.abs(result.scores).max())


def is_kept(build: str, method: str) -> bool:
    """Every method on a Functional model; every build with one method of each kind.

    A method adds to a build only by what it asks of it: feature map and gradient, the inputs' gradient, guided ReLUs,
    no class, or other inputs.
    """
    return build == "functional" or method in KINDS


def is_kept_of_zero(build: str, method: str) -> bool:
    return build == "functional" or (build == "one_sigmoid" and method in KINDS)


KINDS = ("gradcam", "guided-backprop", "eigencam", "scorecam", "smoothgrad")
FAST = ("gradcam", "eigencam", "saliency")


@pytest.mark.parametrize(
    ("build", "method"),
    pairs(EVERY_BUILD, METHODS, fast=lambda build, method: build == "functional" and method in FAST, kept=is_kept),
)
class TestEveryMethodOnEveryBuild:
    def test_maps_are_finite_and_of_their_shape(self, build: str, method: str) -> None:
        _, executable, result, _ = build_and_explain(build, method)
        assert result.maps.dtype == np.float32
        assert result.maps.shape[:2] == (BATCH, len(TARGETS))
        if executable.layer == "input":
            expected = (2, 3) if method == "occlusion" else (HEIGHT, WIDTH)
        elif method == "guided-gradcam":
            expected = (HEIGHT, WIDTH)
        else:
            expected = MAP_SIZE
        assert result.maps.shape[2:] == expected
        assert np.isfinite(result.maps).all()
        assert np.abs(result.maps).max() > 0
        assert np.isfinite(result.scores).all()
        np.testing.assert_array_equal(result.classes[:, 1:], [[1, -1]] * BATCH)
        assert np.isnan(result.probabilities[:, 2]).all()
        assert ((result.probabilities[:, :2] >= 0) & (result.probabilities[:, :2] <= 1)).all()

    def test_the_model_is_as_it_was(self, build: str, method: str) -> None:
        assert build_and_explain(build, method)[3]

    def test_a_map_never_depends_on_its_neighbours_or_on_the_day(self, build: str, method: str) -> None:
        _, executable, explained, _ = build_and_explain(build, method)
        images = random_images(BATCH)
        again = executable(images)
        np.testing.assert_array_equal(again.maps, explained.maps)
        alone = executable(images[1:])
        np.testing.assert_allclose(alone.maps[0], explained.maps[1], atol=rounding(explained))
        swapped = executable(images[::-1])
        np.testing.assert_allclose(swapped.maps[::-1], explained.maps, atol=rounding(explained))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_several_targets_at_once_are_those_of_each_alone(method: str) -> None:
    model, _, together, _ = build_and_explain("functional", method)
    for number, target in enumerate(TARGETS):
        alone = build_executable(model, method, target=target, batch=BATCH, params=SMALL.get(method, {}))(
            random_images(BATCH)
        )
        np.testing.assert_allclose(alone.maps[:, 0], together.maps[:, number], atol=rounding(together))
        np.testing.assert_allclose(alone.scores[:, 0], together.scores[:, number], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_kernels_of_one_model_agree_bit_for_bit(method: str) -> None:
    model, _, result, _ = build_and_explain("sequential", method)
    executable = build_executable(model, method, target=TARGETS, batch=BATCH, params=SMALL.get(method, {}))
    np.testing.assert_array_equal(executable(random_images(BATCH)).maps, result.maps)


@pytest.mark.parametrize(
    ("build", "method"),
    pairs(["functional", "subclassed", "one_sigmoid"], METHODS, fast=lambda *_: False, kept=is_kept_of_zero),
)
def test_zero_attribution_is_a_zero_map(method: str, build: str) -> None:
    if method == "scorecam":
        pytest.skip("weights channels among themselves: with equal scores it is their mean; see the test below")
    model = EVERY_BUILD[build]()
    for layer in model._flatten_layers():
        blinded = isinstance(layer, keras.layers.Dense) if method not in BLIND else hasattr(layer, "bias")
        if blinded or (method in BLIND and isinstance(layer, keras.layers.BatchNormalization)):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    result = build_executable(model, method, batch=BATCH, params=SMALL.get(method, {}))(random_images(BATCH))
    assert (result.maps == 0).all()


def test_channels_without_activation_are_a_zero_map_of_scorecam() -> None:
    model = EVERY_BUILD["sequential"]()
    model.get_layer("last").set_weights([np.zeros_like(w) for w in model.get_layer("last").get_weights()])
    assert (build_executable(model, "scorecam")(random_images(1)).maps == 0).all()


@pytest.mark.slow
def test_a_function_of_the_users_is_a_method() -> None:
    model = EVERY_BUILD["functional"]()
    plain = build_executable(model, f"{CUSTOM}:custom_method")(random_images(2)).maps
    assert plain.shape == (2, 1, *MAP_SIZE)
    twice = build_executable(model, f"{CUSTOM}:custom_method", params={"scale": "2"})(random_images(2)).maps
    np.testing.assert_allclose(twice, 2 * plain, rtol=1e-6)
    result = build_executable(model, f"{CUSTOM}:custom_maps")(random_images(2))
    np.testing.assert_array_equal(result.maps, plain)
    np.testing.assert_allclose(result.quality_metrics["mean"], plain.mean(axis=(2, 3)) / 12, rtol=1e-5)
    one = build_executable(model, f"{CUSTOM}:custom_steps", params={"steps": 1})(random_images(2)).maps
    np.testing.assert_allclose(one, plain, rtol=1e-4, atol=1e-4)
    assert build_executable(model, f"{CUSTOM}:custom_steps")(random_images(2)).maps.shape == plain.shape
    assert method_map_kind(f"{CUSTOM}:custom_steps") == "signed"
    assert method_map_kind(f"{CUSTOM}:custom_method") == "heat"
    assert parameters(f"{CUSTOM}:custom_method") == {"scale": 1.0}


def no_maps(context: MethodContext) -> Any:
    return context.score


@pytest.mark.parametrize(
    ("name", "params", "error", "says"),
    [
        ("gradcan", {}, MethodError, "did you mean 'gradcam'"),
        ("nowhere.at.all:method", {}, MethodError, "no module nowhere"),
        ("occlusion", {"pach": 3}, OptionError, "did you mean 'patch'"),
        ("occlusion", {"patch": "wide"}, OptionError, "a whole number"),
        ("occlusion", {"patch": "2.5"}, OptionError, "a whole number"),
        ("gradcam", {"steps": 3}, OptionError, "unknown parameter 'steps' of method gradcam; expected none"),
    ],
)
def test_what_is_no_method_or_parameter_says_so(name: str, params: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        load_method(name, params)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "params", "says"),
    [
        (f"{__name__}:no_maps", {}, "expected maps"),
        ("occlusion", {"patch": 64}, "patch <= 32"),
        ("occlusion", {"fill": "nan"}, "fill=nan"),
        ("smoothgrad", {"steps": 0}, "invalid smoothgrad steps=0; expected 1 or more"),
        ("smoothgrad", {"noise": "nan"}, "noise=nan"),
        ("smoothgrad", {"noise": -1.0}, "expected 0 or more"),
        ("integrated-gradients", {"steps": -5}, "steps=-5"),
        ("integrated-gradients", {"baseline": "inf"}, "baseline=inf"),
        ("scorecam", {"channels": -1}, "channels=-1"),
        ("occlusion", {"patch": 8, "stride": 9}, "stride <= patch"),
        ("activations", {"filter": 12}, "invalid activations filter=12; expected 0 to 11"),
    ],
)
def test_what_does_not_fit_the_model_says_so(method: str, params: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says):
        build_executable(EVERY_BUILD["functional"](), method, params=params)
