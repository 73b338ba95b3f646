"""What happens between frames: which are explained, the maps of the others, and the scale they are drawn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ..config import TimeOptions
from ..frames import Display, Evidence, Explained, Heatmap
from .between import between
from .change import chosen

__all__ = ["FullScale", "between", "chosen", "over_time", "peak"]

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


class FullScale:
    """Gives the evidence of each target what is drawn as full, `Evidence.full_scale`; one object a stream.

    Args:
        scale: ``running`` takes the largest `peak` seen so far in the stream: equal evidence looks equal from frame to
            frame, and a frame with little of it looks pale. ``frame`` takes each frame's own. A number is that.
        display: how the maps are shown.
        half_life: seconds of the stream in which the largest peak fades to half, so that one strong moment of a stream
            without end does not pale everything after it; 0 for never.
    """

    def __init__(self, scale: str | float, display: Display = "heat", *, half_life: float = 0.0) -> None:
        self._scale = scale
        self._display = display
        self._half_life = half_life
        self._largest: dict[int, float] = {}

    def __call__(self, item: Explained, seconds: float = 0.0) -> Explained:
        """The frame with its scale; ``seconds`` have passed in the stream since the one before."""
        fading = 0.5 ** (seconds / self._half_life) if self._half_life else 1.0
        return replace(item, evidence=tuple(self._scaled(n, one, fading) for n, one in enumerate(item.evidence)))

    def _scaled(self, n: int, evidence: Evidence, fading: float) -> Evidence:
        own = peak(evidence.heatmap, self._display)
        self._largest[n] = max(self._largest.get(n, 0.0) * fading, own)
        match self._scale:
            case "running":
                full = self._largest[n]
            case "frame":
                full = own
            case fixed:
                full = float(fixed)
        return replace(evidence, full_scale=full)


def over_time(items: Iterable[Explained], options: TimeOptions, display: Display = "heat") -> Iterator[Explained]:
    """Gives the evidence of each target what is drawn as full; see `FullScale`."""
    return map(FullScale(options.scale, display), items)
