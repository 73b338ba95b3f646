"""Holds the maps of every case against the closed form, so that the comparison is of the same work.

python agreement.py CLOSED_FORM NAME=MAPS...   prints {"name": smallest cosine}; fails where a case does other work.
"""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

SMALLEST = 0.95
"""Least cosine: tolerates libraries that stretch each map to 0–1 or return it enlarged."""


def main() -> None:
    with np.load(sys.argv[1]) as data:
        reference, classes = data["maps"], data["classes"]
    cosines = {}
    for argument in sys.argv[2:]:
        name, _, path = argument.partition("=")
        with np.load(path) as data:
            if not np.array_equal(data["classes"], classes):
                sys.exit(f"{name} sees classes {data['classes'].tolist()}, the others {classes.tolist()}")
            cosines[name] = min(cosine(one, other) for one, other in zip(data["maps"], reference, strict=True))
        if cosines[name] < SMALLEST:
            sys.exit(f"{name} draws another map: cosine {cosines[name]:.3f}")
    print(json.dumps(cosines))


def cosine(heatmap: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Cosine of two maps, the second enlarged to the first's size."""
    reference = cv2.resize(reference, heatmap.shape[::-1])
    return float(np.vdot(heatmap, reference) / (np.linalg.norm(heatmap) * np.linalg.norm(reference)))


if __name__ == "__main__":
    main()
