"""Render the clip of the documentation's tutorial: both classifiers side by side (``make gallery``)."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import streamcam

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
CLIP = ROOT / "docs" / "gallery" / "tutorial.webp"
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCALE, GAP, MILLISECONDS = 4, 12, 120


def main() -> None:
    """Run the page's Python blocks and draw what its two models explain."""
    page: dict[str, Any] = {"__name__": "tutorial"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec("\n".join(_PYTHON.findall(PAGE.read_text(encoding="utf-8"))), page)  # noqa: S102
        os.chdir(ROOT)
    frames = np.stack(page["frames"])
    panels = [
        streamcam.Explainer(model, target="disc", labels=["disc", "square"]).explain(frames).overlay(alpha=0.8)
        for model in (page["model"], page["mended"])
    ]
    height, width = SCALE * frames.shape[1], SCALE * frames.shape[2]
    images = []
    for overlays in zip(*panels, strict=True):
        image = Image.new("RGB", (2 * width + GAP, height), "white")
        for column, overlay in enumerate(overlays):
            image.paste(Image.fromarray(overlay).resize((width, height)), (column * (width + GAP), 0))
        images.append(image)
    images[0].save(CLIP, save_all=True, append_images=images[1:], duration=MILLISECONDS, loop=0, quality=45, method=6)
    print(f"{CLIP}: {CLIP.stat().st_size / 2**10:.0f} KiB")


if __name__ == "__main__":
    main()
