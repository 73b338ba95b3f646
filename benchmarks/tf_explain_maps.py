"""Compare the maps of each tf-explain method with streamcam's, step by step up to equality: ``make bench-tf-explain``.

Both get the same weights and the same preprocessed images. Each row changes one thing, so that the step in the
correlation is the effect of that difference.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import environments
import faithfulness
import numpy as np
from common import BENCHMARKS, WORK, log_progress, machine_summary, measure, table, write_section
from numpy.typing import NDArray

import streamcam
from streamcam.models.zoo import efficientnet_lite0
from streamcam.tf import tf

WEIGHTS, INPUTS, MAPS = WORK / "weights.npz", WORK / "tf-explain-inputs.npz", WORK / "tf-explain-maps.npz"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row: a map of tf-explain beside one of streamcam.

    Attributes:
        peer, variant: what tf-explain runs.
        key: of `peer_tf_explain_maps`.
        method, params: of streamcam.
        target: streamcam explains the ``logit`` of the class or its ``log probability``.
        rectify: keep the positive part of tf-explain's map.
    """

    peer: str
    variant: str
    key: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    target: str = "logit"
    rectify: bool = False


LINEAR = "model without softmax"
OCCLUSION = {"patch": 32, "stride": 32}
WHITE = OCCLUSION | {"fill": 127.5}
COMPARISONS = (
    Comparison("GradCAM", "defaults", "gradcam/softmax guided", "gradcam"),
    Comparison("GradCAM", "`use_guided_grads=False`", "gradcam/softmax", "gradcam"),
    Comparison("GradCAM", f"and {LINEAR}", "gradcam/logit", "gradcam"),
    Comparison("GradCAM", "and its positive part", "gradcam/logit", "gradcam", rectify=True),
    Comparison("VanillaGradients", "softmax inside the last `Dense`", "saliency/softmax/abs sum", "saliency"),
    Comparison("VanillaGradients", "defaults: softmax in a layer of its own", "saliency/logit/abs sum", "saliency"),
    Comparison("VanillaGradients", "and largest channel instead of their sum", "saliency/logit/abs max", "saliency"),
    Comparison("GradientsInputs", "defaults", "gradient-x-input/logit/abs sum", "gradient-x-input"),
    Comparison("GradientsInputs", "and signs kept", "gradient-x-input/logit/sum", "gradient-x-input"),
    Comparison("IntegratedGradients", "defaults", "integrated-gradients/softmax 10/abs sum", "integrated-gradients"),
    Comparison("IntegratedGradients", f"{LINEAR}", "integrated-gradients/logit 10/abs sum", "integrated-gradients"),
    Comparison(
        "IntegratedGradients",
        "and × input, signs kept",
        "integrated-gradients/logit 10 times input/sum",
        "integrated-gradients",
    ),
    Comparison(
        "IntegratedGradients",
        "and `baseline=0` in streamcam",
        "integrated-gradients/logit 10 times input/sum",
        "integrated-gradients",
        {"baseline": 0.0},
    ),
    Comparison(
        "IntegratedGradients",
        "and `n_steps=50`",
        "integrated-gradients/logit 50 times input/sum",
        "integrated-gradients",
        {"baseline": 0.0},
    ),
    Comparison("OcclusionSensitivity", "`patch_size=32`", "occlusion/softmax", "occlusion", OCCLUSION),
    Comparison("OcclusionSensitivity", f"and {LINEAR}", "occlusion/logit", "occlusion", OCCLUSION),
    Comparison("OcclusionSensitivity", "and `fill=127.5` in streamcam", "occlusion/logit", "occlusion", WHITE),
    Comparison("SmoothGrad", "defaults", "smoothgrad/default/abs sum", "smoothgrad"),
    Comparison("SmoothGrad", "50 samples, streamcam's noise", "smoothgrad/same noise/abs sum", "smoothgrad"),
    Comparison(
        "SmoothGrad",
        "and largest channel, log-probability in streamcam",
        "smoothgrad/same noise/abs max",
        "smoothgrad",
        target="log probability",
    ),
    Comparison(
        "SmoothGrad",
        "and 100 samples in both",
        "smoothgrad/many/abs max",
        "smoothgrad",
        {"steps": 100},
        target="log probability",
    ),
    Comparison("ExtractActivations", "mean of its channels", "activations/mean", "activations"),
)


def main() -> None:
    WORK.mkdir(exist_ok=True)
    environments.make("keras")
    images, classes = samples()
    model = efficientnet_lite0.load()
    np.savez(WEIGHTS, *[array for layer in model.layers for array in layer.get_weights()])
    np.savez(INPUTS, images=efficientnet_lite0.preprocess(images.astype(np.float32)), classes=classes)
    log_progress("tf-explain (minutes)")
    script = BENCHMARKS / "cases" / "peer_tf_explain_maps.py"
    packages = measure([environments.python("keras"), script, WEIGHTS, INPUTS, MAPS]).report["packages"]
    write_section("tf-explain", report(*compare(model, images, classes, MAPS), packages, len(images)))


def samples() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return one image of each sample, ``uint8 (N, 224, 224, 3)``, and its class."""
    images, classes, names = faithfulness.samples()
    first = [names.index(name) for name in dict.fromkeys(names)]
    return np.stack([images[n] for n in first]), np.array([classes[n] for n in first])


def compare(
    model: Any, images: NDArray[np.uint8], classes: NDArray[np.int64], path: Path
) -> tuple[list[list[float]], float]:
    """Return the correlation of each image for each comparison, and that of tf-explain's drawing with its map."""
    explained: dict[str, list[NDArray[np.float32]]] = {}
    rows = []
    with np.load(path) as peer:
        for comparison in COMPARISONS:
            key = f"{comparison.method} {comparison.params} {comparison.target}"
            if key not in explained:
                log_progress(key)
                explained[key] = [
                    explain(comparison, model, image, int(target))
                    for image, target in zip(images, classes, strict=True)
                ]
            theirs = np.maximum(peer[comparison.key], 0) if comparison.rectify else peer[comparison.key]
            rows.append([correlation(one, other) for one, other in zip(theirs, explained[key], strict=True)])
        drawn = statistics.fmean(
            correlation(raw, shown)
            for raw, shown in zip(peer["saliency/logit/abs sum"], peer["saliency/logit/drawn"], strict=True)
        )
    return rows, drawn


def explain(comparison: Comparison, model: Any, image: NDArray[np.uint8], target: int) -> NDArray[np.float32]:
    """Return streamcam's map of an image."""

    def log_probability(logits: Any) -> Any:
        return tf.nn.log_softmax(logits)[:, target]

    explainer = streamcam.Explainer(
        model,
        comparison.method,
        target=target if comparison.target == "logit" else log_probability,
        params=comparison.params,
        preprocess=efficientnet_lite0.preprocess,
        fit="stretch",
        precision="float32",
    )
    return explainer.explain(image).maps[0]


def correlation(theirs: NDArray[Any], ours: NDArray[Any]) -> float:
    """Pearson's; a map that tf-explain enlarged is compared with one enlarged in the same way."""
    if theirs.shape != ours.shape:
        ours = cv2.resize(ours.astype(np.float32), theirs.shape[::-1])
    return float(np.corrcoef(theirs.ravel().astype(np.float64), ours.ravel().astype(np.float64))[0, 1])


def report(rows: list[list[float]], drawn: float, packages: dict[str, str], count: int) -> str:
    """Format the section."""
    head = ("tf-explain", "variant", "streamcam", "correlation (smallest–largest)")
    lines = []
    for comparison, values in zip(COMPARISONS, rows, strict=True):
        params = "".join(f" {name}={value}" for name, value in comparison.params.items())
        median = f"{statistics.median(values):.4f} ({min(values):.3f}–{max(values):.3f})"
        lines.append((comparison.peer, comparison.variant, f"`{comparison.method}{params}`", median))
    named = ", ".join(f"{name} {found}" for name, found in packages.items())
    return f"""## Maps of tf-explain

Pearson correlation of tf-explain's maps, before it draws them, with streamcam's: same weights (EfficientNet-Lite0),
same preprocessed 224x224 images, last feature map. Median over one image of each of {count} samples. Within a method,
each row adds one change to the row above. The correlation ignores scale and offset. Made by `make bench-tf-explain`;
no figure depends on the machine's speed.

tf-explain draws maps of pixels as (x − mean) / deviation, clipped to 0–1, with one mean and deviation for all images of
a call. Correlation of the drawn map with the map itself: {drawn:.2f} (VanillaGradients).

Machine: {machine_summary()}. Packages: {named}.

{table(head, lines)}"""


if __name__ == "__main__":
    sys.exit(main())
