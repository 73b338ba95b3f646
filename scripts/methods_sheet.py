"""Every method on two samples, as the image in the README: ``make methods-sheet``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import streamcam
from streamcam.compose import titled_sheet
from streamcam.methods import METHODS

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ("chelsea.png", "coffee.png")
SHEET = ROOT / "docs" / "methods.jpg"
WIDTH = 270
COLUMNS = 6


def sample(name: str) -> np.ndarray:
    """Load a sample, small enough for a sheet."""
    with Image.open(ROOT / "samples" / name) as image:
        return np.asarray(image.convert("RGB").resize((WIDTH, WIDTH * image.height // image.width)))


def main() -> None:
    """Explains both samples with each method and writes the sheet."""
    rgb_images = [sample(name) for name in SAMPLES]
    images, titles = [], []
    for name in METHODS:
        print(name, file=sys.stderr, flush=True)
        explanation = streamcam.Explainer(method=name, precision="float32").explain(rgb_images)
        images += [*explanation.overlay(alpha=0.8)]
        titles += [name, ""]
    titled_sheet([*rgb_images, *images], ["chelsea.png", "coffee.png", *titles], COLUMNS, SHEET)
    print(SHEET)


if __name__ == "__main__":
    main()
