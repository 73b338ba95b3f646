"""Selection of frames to explain, interpolation of maps, and their scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..frames import Attribution, ExplainedFrame, Heatmap, MapKind
from ..geometry import smooth_pixels
from ..options import TemporalOptions
from .change_detection import MAX_HOLD_FRAMES, choose_interpolation, estimate_every, frame_selector
from .interpolate import interpolate_maps
from .zero_maps import ZeroMapCounter, is_zero, zero_map_note

__all__ = [
    "MAX_HOLD_FRAMES",
    "Normalizer",
    "ZeroMapCounter",
    "choose_interpolation",
    "estimate_every",
    "frame_selector",
    "interpolate_maps",
    "is_zero",
    "max_peaks",
    "normalize_maps",
    "peak",
    "zero_map_note",
]

PERCENTILE = 99.0
"""Percentage of a map's pixels drawn within the scale, so that a few outliers do not make the others pale."""


def peak(heatmap: Heatmap, map_kind: MapKind) -> float:
    """Return the attribution to draw at full strength, ≥ 0.

    For a coarse map (``heat``) it is the largest value: negative attribution is not drawn. For a map of pixels, which
    is drawn smoothed, it is the 99th percentile of the smoothed absolute values, or the largest if all but a few
    pixels are zero.
    """
    if map_kind == "heat":
        return max(0.0, float(heatmap.max(initial=0.0)))
    size = smooth_pixels(np.abs(heatmap)) if map_kind == "relief" else np.abs(smooth_pixels(heatmap))
    return float(np.percentile(size, PERCENTILE)) or float(size.max(initial=0.0))


def max_peaks(frames: Iterable[Sequence[Attribution]], map_kind: MapKind) -> tuple[float, ...]:
    """Return the largest `peak` of each target over all frames.

    Args:
        frames: attributions of each frame: one for each target.
        map_kind: how the maps are shown.
    """
    largest: tuple[float, ...] = ()
    for attributions in frames:
        peaks = tuple(peak(one.heatmap, map_kind) for one in attributions)
        largest = tuple(map(max, largest, peaks)) if largest else peaks
    return largest


class Normalizer:
    """Sets `Attribution.vmax` of each target; one object a stream.

    Args:
        scale: ``running`` takes the largest `peak` of the stream so far: equal attribution is drawn equally in all
            frames, and a frame with little of it is pale. ``frame`` takes each frame's own peak, ``stream`` that of
            ``stream_peaks``. A number sets it.
        map_kind: how the maps are shown.
        half_life_seconds: seconds of the stream in which the largest peak decays to half, so that one strong moment of
            an endless stream does not make all later frames pale; 0 for never.
        stream_peaks: as from `max_peaks`, for ``stream``.
        running_peaks: of each target, the largest peak before the first frame.
    """

    def __init__(
        self,
        scale: str | float,
        map_kind: MapKind = "heat",
        *,
        half_life_seconds: float = 0.0,
        stream_peaks: Sequence[float] = (),
        running_peaks: Sequence[float] = (),
    ) -> None:
        self._stream_peaks = stream_peaks
        self._scale = scale
        self._map_kind = map_kind
        self._half_life_seconds = half_life_seconds
        self._running_peaks = dict(enumerate(running_peaks))

    @property
    def running_peaks(self) -> tuple[float, ...]:
        """The largest peak of each target so far."""
        return tuple(self._running_peaks[number] for number in sorted(self._running_peaks))

    def __call__(self, item: ExplainedFrame, elapsed_seconds: float = 0.0) -> ExplainedFrame:
        """Return the frame with its scale, ``elapsed_seconds`` after the one before."""
        decay = 0.5 ** (elapsed_seconds / self._half_life_seconds) if self._half_life_seconds else 1.0
        return replace(
            item, attributions=tuple(self._normalize(n, one, decay) for n, one in enumerate(item.attributions))
        )

    def _normalize(self, n: int, attribution: Attribution, decay: float) -> Attribution:
        frame_peak = peak(attribution.heatmap, self._map_kind)
        self._running_peaks[n] = max(self._running_peaks.get(n, 0.0) * decay, frame_peak)
        match self._scale:
            case "running":
                vmax = self._running_peaks[n]
            case "frame":
                vmax = frame_peak
            case "stream":
                vmax = self._stream_peaks[n]
            case fixed:
                vmax = float(fixed)
        return replace(attribution, vmax=vmax)


def normalize_maps(
    items: Iterable[ExplainedFrame],
    options: TemporalOptions,
    map_kind: MapKind = "heat",
    stream_peaks: Sequence[float] = (),
    running_peaks: Sequence[float] = (),
) -> Iterator[ExplainedFrame]:
    """Set the scale of each frame's attributions; see `Normalizer`."""
    normalizer = Normalizer(options.scale, map_kind, stream_peaks=stream_peaks, running_peaks=running_peaks)
    return map(normalizer, items)
