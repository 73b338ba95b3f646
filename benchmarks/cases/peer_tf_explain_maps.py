"""Maps of every method of tf-explain before it draws them, and as it draws them.

python peer_tf_explain_maps.py WEIGHTS INPUTS MAPS   with INPUTS: ``images`` float32 (N, 224, 224, 3), ``classes`` (N,)

Each image is explained by itself, for tf-explain scales all images of a call together. The keys of MAPS are
``METHOD/VARIANT``; the values are ``(N, h, w)``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lite0_keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tf_explain.core.activations import ExtractActivations
from tf_explain.core.grad_cam import GradCAM
from tf_explain.core.gradients_inputs import GradientsInputs
from tf_explain.core.integrated_gradients import IntegratedGradients
from tf_explain.core.occlusion_sensitivity import OcclusionSensitivity
from tf_explain.core.smoothgrad import SmoothGrad
from tf_explain.core.vanilla_gradients import VanillaGradients
from tf_explain.utils.image import transform_to_normalized_grayscale

LAYER = lite0_keras.TARGET_LAYER
PATCH, STEPS, SAMPLES = 32, 50, 100


def main() -> None:
    weights, inputs, out = (Path(argument) for argument in sys.argv[1:])
    with np.load(inputs) as data:
        images, classes = data["images"], data["classes"]
    logits = lite0_keras.build(weights)
    # In one graph: tf-explain finds layers of the outermost model only.
    probabilities = tf.keras.Model(logits.inputs, tf.keras.layers.Softmax()(logits.output))
    np.random.seed(0)
    maps: dict[str, list[NDArray[np.float32]]] = {}
    for image, target in zip(images, classes, strict=True):
        for name, value in explain(logits, probabilities, image[None], int(target)):
            maps.setdefault(name, []).append(np.asarray(value))
    np.savez(out, **{name: np.stack(values) for name, values in maps.items()})
    packages = {name: version(name) for name in ("tf-explain", "tensorflow", "tf_keras")}
    print(json.dumps({"packages": packages}))


def explain(logits: Any, probabilities: Any, image: NDArray[np.float32], target: int) -> Any:
    """Yield the maps of one image by name."""
    for score, model in (("logit", logits), ("softmax", probabilities)):
        for guided in (False, True):
            outputs, gradients = GradCAM.get_gradients_and_filters(model, image, LAYER, target, guided)
            (cam,) = GradCAM.generate_ponderated_output(outputs, gradients)
            yield f"gradcam/{score}{' guided' if guided else ''}", cam

        gradient = VanillaGradients.compute_gradients(image, model, target)
        yield from channels(f"saliency/{score}", gradient)
        yield from channels(f"gradient-x-input/{score}", GradientsInputs.compute_gradients(image, model, target))
        for steps in (10, STEPS):
            path = IntegratedGradients.generate_interpolations(image, steps)
            mean = IntegratedGradients.get_integrated_gradients(path, model, target, steps)
            yield from channels(f"integrated-gradients/{score} {steps}", mean)
            yield from channels(f"integrated-gradients/{score} {steps} times input", mean * image)
        sensitivity = OcclusionSensitivity(batch_size=16).get_sensitivity_map(model, image[0], target, PATCH)
        yield f"occlusion/{score}", sensitivity
    span = float(image.max() - image.min())
    for name, count, noise in (("default", 5, 1.0), ("same noise", 50, 0.15 * span), ("many", SAMPLES, 0.15 * span)):
        total: Any = 0
        for _ in range(count // 5):  # a few images a pass, for memory
            noisy = SmoothGrad.generate_noisy_images(image, 5, noise).astype(np.float32)
            total = total + SmoothGrad.get_averaged_gradients(noisy, probabilities, target, 5)
        yield from channels(f"smoothgrad/{name}", total / (count // 5))
    feature_map = ExtractActivations.generate_activations_graph(logits, [LAYER])(image)
    yield "activations/mean", tf.reduce_mean(feature_map, axis=3)[0]


def channels(name: str, values: Any) -> Any:
    """Yield what tf-explain makes of the three color channels, and alternatives."""
    reductions: dict[str, Callable[[Any], Any]] = {
        "abs sum": lambda x: tf.reduce_sum(tf.abs(x), axis=3),  # tf-explain
        "abs max": lambda x: tf.reduce_max(tf.abs(x), axis=3),
        "sum": lambda x: tf.reduce_sum(x, axis=3),
        "drawn": lambda x: transform_to_normalized_grayscale(tf.abs(x)),
    }
    for reduction, function in reductions.items():
        yield f"{name}/{reduction}", function(values)[0]


if __name__ == "__main__":
    main()
