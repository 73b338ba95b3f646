"""EfficientNet-Lite0 as a plain list of convolutions, for code that rebuilds it from the same numbers.

``weights.npz`` holds them in the order of the network, float32 as rounded by streamcam's float16 file: for each
convolution its kernel (h, w, in, out; depthwise h, w, channels, 1) and the scale, offset, mean and variance of its
batch norm, then the classifier's kernel and bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INPUT = 224
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3
# Repeats, kernel, stride of the first, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted residual: expand (unless ``expand`` is 1), depthwise, project; added to its input if it fits."""

    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int

    @property
    def residual(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


def blocks() -> Iterator[Block]:
    """Return the sixteen blocks between stem and head."""
    channels = STEM
    for repeats, kernel, stride, expand, outputs in _STAGES:
        for number in range(repeats):
            yield Block(kernel, stride if number == 0 else 1, expand, channels, outputs)
            channels = outputs


def weights(path: Path) -> Iterator[NDArray[np.float32]]:
    """Return the arrays one after another, as the builders take them."""
    with np.load(path) as data:
        arrays = [data[name] for name in data.files]
    return iter(arrays)


def normalize(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Preprocess images: ``(x − 127) / 128`` of ``uint8 (N, 224, 224, 3)`` RGB."""
    return (images.astype(np.float32) - 127) / 128
