"""streamcam's Grad-CAM by itself, on the images of the peers: python method_alone.py CLIP PRECISION."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import lite0
import loop
import numpy as np

from streamcam.engine import load_explainer
from streamcam.frames import SourceInfo
from streamcam.options import ExplainOptions, ModelOptions

BATCH = 16


def main() -> None:
    """Print milliseconds per image."""
    images = loop.check_images(Path(sys.argv[1]))
    images = np.concatenate([images] * (BATCH // len(images)))
    options = ExplainOptions(batch=BATCH, precision=sys.argv[2])  # type: ignore[arg-type]
    explainer = load_explainer(ModelOptions(fit="stretch"), options)
    info = SourceInfo("check", lite0.INPUT, lite0.INPUT, "yuv420p", Fraction(1, 25), num_frames=BATCH)
    executable = explainer.prepare(info).executable
    print(json.dumps({**loop.time_per_image(lambda: executable(images), BATCH), "precision": executable.precision}))


if __name__ == "__main__":
    main()
