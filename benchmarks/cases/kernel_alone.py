"""streamcam's Grad-CAM by itself, on the pictures of the peers: python kernel_alone.py CLIP PRECISION."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import lite0
import loop
import numpy as np

from streamcam.config import ExplainOptions, ModelOptions
from streamcam.engine import load_explainer
from streamcam.frames import SourceInfo

BATCH = 16


def main() -> None:
    """Prints milliseconds a picture."""
    pictures = loop.checked_pictures(Path(sys.argv[1]))
    pictures = np.concatenate([pictures] * (BATCH // len(pictures)))
    options = ExplainOptions(batch=BATCH, precision=sys.argv[2])  # type: ignore[arg-type]
    explainer = load_explainer(ModelOptions(fit="stretch"), options)
    info = SourceInfo("check", lite0.INPUT, lite0.INPUT, "yuv420p", Fraction(1, 25), frames=BATCH)
    kernel = explainer.view(info).kernel
    print(json.dumps({**loop.timed(lambda: kernel(pictures), BATCH), "precision": kernel.precision}))


if __name__ == "__main__":
    main()
