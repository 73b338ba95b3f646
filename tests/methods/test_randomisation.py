"""Adebayo et al. 2018, "Sanity Checks for Saliency Maps": a map must change when what the model learned is taken away.

The weights of the embedded model are drawn anew from its top downwards, stage by stage, and the Grad-CAM map of the
class that the model sees then is ranked against the trained one's (Spearman). The class it saw before has, half of the
times, no attribution at all in a random model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from streamcam.engine.compile import compile_method
from streamcam.methods import load_method
from streamcam.models import load_model
from streamcam.options import ModelOptions

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
STAGES = ("predictions", "top_", "block15_", "block14_", "block13_", "block12_", "block11_")
THRESHOLD = 0.5
"""The mean rank correlation over the samples is below this from the second stage on: all that lies behind and in the
target layer is random then. The head alone is one matrix; the layer's own activations, which are trained still, shine
through it."""


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """From 0 on; equal values share the mean of theirs."""
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[which]


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    a, b = ranks(one) - ranks(one).mean(), ranks(other) - ranks(other).mean()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def randomize_layers(model: Any, prefix: str, rng: np.random.Generator) -> None:
    """As at the start of a training: He's normal kernels, batch norm that does nothing."""
    layers = [layer for layer in model.layers if layer.name.startswith(prefix) and layer.weights]
    assert layers
    for layer in layers:
        if len(layer.weights) == 4:
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma * 0 + 1, beta * 0, mean * 0, variance * 0 + 1])
            continue
        kernel, *bias = layer.get_weights()
        # The channels that go into an output: one for each in a depthwise kernel.
        inputs = kernel[..., 0].size if "depthwise" not in layer.name else kernel[..., 0, 0].size
        layer.set_weights([rng.normal(0, np.sqrt(2 / inputs), kernel.shape), *(b * 0 for b in bias)])


def test_gradcam_forgets_what_the_model_forgets() -> None:
    loaded = load_model(ModelOptions())
    images = [Image.open(SAMPLES / name).convert("RGB") for name in ("chelsea.png", "coffee.png")]
    rgb_images = np.stack([np.asarray(image.resize((224, 224))) for image in images])

    def maps() -> Any:
        executable = compile_method(
            loaded, load_method("gradcam"), layer="auto", size=(224, 224), batch=2
        ).load("cpu", "float32")  # fmt: skip
        return executable(rgb_images)

    trained = maps()
    assert [loaded.labels[c] for c in trained.classes[:, 0]] == ["Egyptian cat", "espresso"]
    rng = np.random.default_rng(7)
    found = []
    for stage in STAGES:
        randomize_layers(loaded.model, stage, rng)
        anew = maps().maps[:, 0]
        assert all(one.any() for one in anew), "a map of zeros would prove nothing"
        found.append([spearman(one, before) for one, before in zip(anew, trained.maps[:, 0], strict=True)])
    means = np.abs(np.array(found)).mean(axis=1)
    print(dict(zip(STAGES, np.round(found, 2).tolist(), strict=True)))
    assert (means[1:] < THRESHOLD).all(), means
    assert spearman(trained.maps[0, 0], trained.maps[0, 0]) == 1
