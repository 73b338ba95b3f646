"""Write the weights all cases share, and the maps they are held against. Runs where streamcam is installed.

python reference.py CLIP WEIGHTS CLOSED_FORM STREAMCAM

The closed form is ``ReLU(Σ_k W[k, c] · A_k) / 49`` in NumPy, with the head's feature map ``A`` from a forward pass that
shares no code with streamcam; the weights are the ones streamcam ships.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import lite0
import lite0_constants
import loop
import numpy as np
from numpy.typing import NDArray

from streamcam.engine import load_explainer
from streamcam.frames import SourceInfo
from streamcam.options import ExplainOptions, ModelOptions


def main() -> None:
    clip, weights, closed_form, streamcam = (Path(argument) for argument in sys.argv[1:])
    images = loop.check_images(clip)
    explainer = load_explainer(ModelOptions(fit="stretch"), ExplainOptions())
    np.savez(weights, *_arrays(explainer.loaded.model))

    info = SourceInfo("check", lite0.INPUT, lite0.INPUT, "yuv420p", Fraction(1, 25), num_frames=len(images))
    result = explainer.prepare(info).executable(images)
    loop.write_maps(streamcam, result.maps[:, 0], result.classes[:, 0])

    logits, feature_map = (tensor.numpy() for tensor in lite0_constants.build(weights)(images))
    *_, classifier, _ = lite0.weights(weights)
    classes = logits.argmax(1)
    maps = np.einsum("nhwk,kn->nhw", feature_map, classifier[:, classes]) / (
        feature_map.shape[1] * feature_map.shape[2]
    )
    loop.write_maps(closed_form, maps, classes)


def _arrays(model: Any) -> Iterator[NDArray[np.float32]]:
    """Every array of a model's layers, in the order of the network."""
    for layer in model.layers:
        yield from layer.get_weights()


if __name__ == "__main__":
    main()
