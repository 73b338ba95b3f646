"""Color maps: tables of sRGB colors from none to full attribution."""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..options import Colormap

Floats: TypeAlias = NDArray[np.float64]

_RDBU_COLORS = "b2182b d6604d f4a582 fddbc7 f7f7f7 d1e5f0 92c5de 4393c3 2166ac"


def colormap(name: Colormap | Literal["RdBu_r"], count: int) -> Floats:
    """Return a color map as ``(count, 3)`` sRGB, 0–1.

    From no attribution to full; for signed maps from full negative to full positive.

    RdBu is that of ColorBrewer with nine colors (C. Brewer, M. Harrower, Pennsylvania State University; Apache-2.0),
    interpolated.
    """
    base = name.removesuffix("_r")
    rgb = _table(base) if base == name else _table(base)[::-1]
    positions = np.linspace(0, len(rgb) - 1, count)
    return np.stack([np.interp(positions, np.arange(len(rgb)), channel) for channel in rgb.T], axis=1)


def _table(name: str) -> Floats:
    if name == "gray":
        return np.array([[0.0] * 3, [1.0] * 3])
    if name == "RdBu":
        return np.array([[int(code[n : n + 2], 16) / 255 for n in (0, 2, 4)] for code in _RDBU_COLORS.split()])
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8), getattr(cv2, f"COLORMAP_{name.upper()}"))
    rgb: Floats = table.reshape(256, 3)[:, ::-1] / 255.0
    return rgb
