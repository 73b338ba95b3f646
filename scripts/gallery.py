"""Render the gallery of the documentation: every method on two stills and on a short clip (``make gallery``)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import streamcam
from streamcam.methods import METHODS

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "docs" / "gallery"
STILLS = ("chelsea.png", "coffee.png")
CLIP, TARGET = "cockatoo.mp4", "sulphur-crested cockatoo"
START, SECONDS, FPS = 11.2, 2.4, 20
"""The part of the clip in which the bird turns and walks away."""

KEEP_EVERY = 2
WIDTH, QUALITY, CLIP_QUALITY = 300, 72, 52


def still(name: str) -> NDArray[np.uint8]:
    """Return a sample, scaled to the width of the gallery."""
    with Image.open(ROOT / "samples" / name) as image:
        return np.asarray(image.convert("RGB").resize((WIDTH, round(WIDTH * image.height / image.width))))


def clip(method: str, folder: Path) -> list[Image.Image]:
    """Run ``streamcam process`` on the sample clip and return the frames of its output."""
    output = folder / f"{method}.mkv"
    streamcam.process(
        ROOT / "samples" / CLIP,
        output,
        method=method,
        target=TARGET,
        start=START,
        end=START + SECONDS,
        every=KEEP_EVERY,
        scale="frame",
        caption=False,
        alpha=0.75,
        codec="ffv1",
        precision="float32",
    )
    with av.open(str(output)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    return [frame.resize((WIDTH, round(WIDTH * frame.height / frame.width))) for frame in frames[::KEEP_EVERY]]


def save_clip(frames: list[Image.Image], path: Path) -> None:
    """Write frames as an animated WebP that loops."""
    duration = round(1000 * KEEP_EVERY / FPS)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=CLIP_QUALITY, method=6
    )


def main() -> None:
    """Render all methods, or those named on the command line."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    images = [still(name) for name in STILLS]
    for name, image in zip(STILLS, images, strict=True):
        Image.fromarray(image).save(GALLERY / f"{Path(name).stem}.webp", quality=QUALITY, method=6)
    with tempfile.TemporaryDirectory() as folder:
        for method in sys.argv[1:] or METHODS:
            print(method, file=sys.stderr, flush=True)
            overlays = streamcam.Explainer(method=method, precision="float32").explain(images).overlay(alpha=0.75)
            for name, overlay in zip(STILLS, overlays, strict=True):
                path = GALLERY / f"{method}.{Path(name).stem}.webp"
                Image.fromarray(overlay).save(path, quality=QUALITY, method=6)
            save_clip(clip(method, Path(folder)), GALLERY / f"{method}.clip.webp")
    total = sum(path.stat().st_size for path in GALLERY.glob("*.webp"))
    print(f"{GALLERY}: {total / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
