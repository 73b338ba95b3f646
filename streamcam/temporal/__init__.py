"""What happens between frames: which are explained, the maps of the others, and the scale they are drawn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ..config import TimeOptions
from ..frames import Display, Explained, Heatmap
from .between import between
from .change import chosen

__all__ = ["between", "chosen", "over_time", "peak"]

PERCENTILE = 99.0
"""Of the pixels of a map, as many are drawn within the scale; a few outliers must not make all others pale."""


def peak(heatmap: Heatmap, display: Display) -> float:
    """The evidence of one map that is drawn as full, ≥ 0.

    The largest of a coarse map (``heat``): evidence below zero speaks against the class and raises no scale. Of a map
    of pixels the 99th percentile of the absolute values, or the largest where all but a few pixels are zero.
    """
    if display == "heat":
        return max(0.0, float(heatmap.max(initial=0.0)))
    size = np.abs(heatmap)
    return float(np.percentile(size, PERCENTILE)) or float(size.max(initial=0.0))


def over_time(items: Iterable[Explained], options: TimeOptions, display: Display = "heat") -> Iterator[Explained]:
    """Gives the evidence of each target what is drawn as full, `Evidence.full_scale`.

    ``running`` takes the largest `peak` seen so far in the stream: equal evidence looks equal from frame to
    frame, and a frame with little of it looks pale. ``frame`` takes each frame's own.
    """
    largest: dict[int, float] = {}
    for item in items:
        scaled = []
        for n, evidence in enumerate(item.evidence):
            own = peak(evidence.heatmap, display)
            largest[n] = max(largest.get(n, 0.0), own)
            match options.scale:
                case "running":
                    full = largest[n]
                case "frame":
                    full = own
                case fixed:
                    full = float(fixed)
            scaled.append(replace(evidence, full_scale=full))
        yield replace(item, evidence=tuple(scaled))
