"""What happens between frames: which are explained, the maps of the others, and the scale they are drawn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ..frames import Attribution, ExplainedFrame, Heatmap, MapKind
from ..options import TemporalOptions
from .change_detection import frame_selector
from .interpolate import interpolate_maps

__all__ = ["Normalizer", "frame_selector", "interpolate_maps", "normalize_maps", "peak"]

PERCENTILE = 99.0
"""Of the pixels of a map, as many are drawn within the scale; a few outliers must not make all others pale."""


def peak(heatmap: Heatmap, display: MapKind) -> float:
    """The evidence of one map that is drawn as full, ≥ 0.

    The largest of a coarse map (``heat``): evidence below zero speaks against the class and raises no scale. Of a map
    of pixels the 99th percentile of the absolute values, or the largest where all but a few pixels are zero.
    """
    if display == "heat":
        return max(0.0, float(heatmap.max(initial=0.0)))
    size = np.abs(heatmap)
    return float(np.percentile(size, PERCENTILE)) or float(size.max(initial=0.0))


class Normalizer:
    """Gives the evidence of each target what is drawn as full, `Evidence.full_scale`; one object a stream.

    Args:
        scale: ``running`` takes the largest `peak` seen so far in the stream: equal evidence looks equal from frame to
            frame, and a frame with little of it looks pale. ``frame`` takes each frame's own. A number is that.
        display: how the maps are shown.
        half_life_seconds: seconds of the stream in which the largest peak fades to half, so that one strong moment of a stream
            without end does not pale everything after it; 0 for never.
    """

    def __init__(self, scale: str | float, display: MapKind = "heat", *, half_life_seconds: float = 0.0) -> None:
        self._scale = scale
        self._display = display
        self._half_life_seconds = half_life_seconds
        self._running_peaks: dict[int, float] = {}

    def __call__(self, item: ExplainedFrame, elapsed_seconds: float = 0.0) -> ExplainedFrame:
        """The frame with its scale; ``elapsed_seconds`` have passed in the stream since the one before."""
        decay = 0.5 ** (elapsed_seconds / self._half_life_seconds) if self._half_life_seconds else 1.0
        return replace(
            item, attributions=tuple(self._normalize(n, one, decay) for n, one in enumerate(item.attributions))
        )

    def _normalize(self, n: int, attribution: Attribution, decay: float) -> Attribution:
        frame_peak = peak(attribution.heatmap, self._display)
        self._running_peaks[n] = max(self._running_peaks.get(n, 0.0) * decay, frame_peak)
        match self._scale:
            case "running":
                vmax = self._running_peaks[n]
            case "frame":
                vmax = frame_peak
            case fixed:
                vmax = float(fixed)
        return replace(attribution, vmax=vmax)


def normalize_maps(
    items: Iterable[ExplainedFrame], options: TemporalOptions, display: MapKind = "heat"
) -> Iterator[ExplainedFrame]:
    """Gives the evidence of each target what is drawn as full; see `Normalizer`."""
    return map(Normalizer(options.scale, display), items)
