"""The seven examples of tf-explain's ``core``, on one photo: ``python examples/tf_explain/core.py [FOLDER]``.

With the embedded EfficientNet-Lite0 instead of VGG16, so that nothing is downloaded.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import streamcam

PHOTO = Path(__file__).parents[2] / "samples" / "chelsea.png"
CAT = "Egyptian cat"

EXPLAINERS: dict[str, tuple[str, dict[str, Any]]] = {
    "GradCAM": ("gradcam", {}),
    "OcclusionSensitivity": ("occlusion", {"patch": 56, "stride": 56}),
    "SmoothGrad": ("smoothgrad", {"steps": 10}),
    "IntegratedGradients": ("integrated-gradients", {"steps": 10}),
    "VanillaGradients": ("saliency", {}),
    "GradientsInputs": ("gradient-x-input", {}),
    "ExtractActivations": ("activations", {}),
}
"""Name in tf-explain, method here, and its parameters."""


def main(folder: Path) -> int:
    """Explain the photo by each method and save it."""
    for peer, (method, params) in EXPLAINERS.items():
        explanation = streamcam.Explainer(method=method, target=CAT, params=params).explain(PHOTO)
        path = folder / f"{method}.png"
        explanation.save(path, overwrite=True)
        rows, columns = explanation.maps.shape[1:]
        print(f"{peer}: {path.name}, a map of {columns}x{rows}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
