"""Images that look natural, and pipelines of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).parents[3] / "samples"
CLASSES = 4


@functools.cache
def _scenes(count: int, height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    rows, columns = np.mgrid[:height, :width]
    images, labels = [], rng.permutation(np.arange(count) % CLASSES)
    for label in labels:
        spectrum = rng.normal(size=(4, *frequency.shape)) + 1j * rng.normal(size=(4, *frequency.shape))
        fields = np.fft.irfft2(spectrum / frequency, (height, width))
        fields /= fields.std((1, 2), keepdims=True)
        color = rng.normal(0, 25, 3) + np.array([15, 0, -15])
        image = 118 + 38 * fields[0][..., None] + 12 * np.moveaxis(fields[1:], 0, -1) + color
        y, x = rng.uniform(0.35, 0.65, 2) * (height, width)
        radius = rng.uniform(0.18, 0.28) * min(height, width)
        dy, dx = (rows - y) / radius, (columns - x) / radius
        shapes = (np.hypot(dy, dx) < 1, np.maximum(abs(dy), abs(dx)) < 0.85, abs(dy) + abs(dx) < 1.2, abs(dy) < 0.35)
        inside = shapes[label]
        texture = 30 * np.sin((dx * (2 + label) + dy) * 4)[..., None]
        image = np.where(inside[..., None], np.array(rng.uniform(40, 215, 3)) + texture, image)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return np.stack(images), labels.astype(np.int64)


def scenes(count: int = 32, height: int = 96, width: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images ``uint8 (N, H, W, 3)`` of shapes before 1/f noise, and their classes, balanced and shuffled."""
    images, labels = _scenes(count, height, width, seed)
    return images.copy(), labels.copy()


@functools.cache
def _photos(size: int) -> np.ndarray:
    images = []
    for name in ("chelsea.png", "coffee.png"):
        with Image.open(SAMPLES / name) as opened:
            image = opened.convert("RGB")
        side = int(min(image.size) * 0.55)
        for n in range(6):
            x = (image.width - side) * (n % 3) // 2
            y = (image.height - side) * (n // 3)
            images.append(np.asarray(image.crop((x, y, x + side, y + side)).resize((size, size))))
    return np.stack(images)


def photos(size: int = 96) -> np.ndarray:
    """Twelve parts of two photographs."""
    return _photos(size).copy()


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str] = "abcd") -> Path:
    """Write images as PNG into a subfolder for each class."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / names[label] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder
