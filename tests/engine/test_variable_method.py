"""A method on variables: equal to the compiled one, also after the weights have changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.engine.variable_method import load_variable_method
from streamcam.errors import LayerError, ModelError
from streamcam.methods import load_method
from streamcam.tf import tf

from . import models
from .executables import load, random_images, scale

SHAPE = (4, models.HEIGHT, models.WIDTH, 3)


@pytest.mark.parametrize(
    ("make_model", "method", "params"),
    [
        (models.nested_model, "gradcam", {}),
        (models.sequential, "guided-backprop", {}),
        (models.sequential, "occlusion", {"patch": 16}),
        (models.sequential, "smoothgrad", {"steps": 3}),
    ],
)
def test_maps_equal_those_of_an_explainer_for_the_weights_of_the_moment(
    make_model: Any, method: str, params: Any
) -> None:
    model, images = make_model(), random_images(3)
    executable = load_variable_method(load(model), load_method(method, params), layer="auto", shape=SHAPE)
    executable(scale(images.astype(np.float32)))
    for variable in model.trainable_variables:
        variable.assign(variable * (1 + 0.2 * np.random.default_rng(1).normal(size=variable.shape)))
    found = executable(scale(images.astype(np.float32)))
    explainer = streamcam.Explainer(model, method, params=params, preprocess=scale, precision="float32")
    expected = explainer.explain(images)
    assert executable.layer == expected.layer
    tolerance = 1e-5 * max(np.abs(expected.maps).max(), np.abs(expected.scores).max() * (method == "occlusion"))
    np.testing.assert_allclose(found.maps[:, 0], expected.maps, atol=tolerance)
    np.testing.assert_allclose(found.scores[:, 0], expected.scores, rtol=1e-4)


def test_the_target_of_each_image_and_several_targets() -> None:
    model, images = models.functional(), random_images(2)
    executable = load_variable_method(load(model), load_method("hirescam"), layer="auto", shape=SHAPE)
    codes = np.array([[[1, -1], [3, 0]], [[2, -1], [4, 1]]], np.int32)
    found = executable(scale(images.astype(np.float32)), codes)
    explainer = streamcam.Explainer(model, "hirescam", preprocess=scale, precision="float32")
    for target, names in enumerate((["1", "2"], ["3 - 0", "4 - 1"])):
        expected = explainer.explain(images, targets=names).maps
        np.testing.assert_allclose(found.maps[:, target], expected, atol=1e-5 * np.abs(expected).max())


def test_wrong_layers_and_failing_models_are_one_line() -> None:
    model = load(models.functional())
    with pytest.raises(LayerError, match="nowhere"):
        load_variable_method(model, load_method("gradcam"), layer="nowhere", shape=SHAPE)
    executable = load_variable_method(
        model,
        lambda context: tf.raw_ops.CheckNumerics(tensor=context.activations[..., 0], message="bad"),
        layer="auto",
        shape=SHAPE,
    )
    with pytest.raises(ModelError, match="the model failed"):
        executable(np.full(SHAPE, np.inf, np.float32))
