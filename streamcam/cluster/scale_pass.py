"""The serial pass over the records of a run: the scale that each chunk is drawn with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ..frames import MapKind
from ..options import TemporalOptions

Peaks: TypeAlias = tuple[float, ...]
"""The largest peak of each target, as from `streamcam.temporal.max_peaks`; empty if no frame was explained."""


class ScalePass:
    """Finds which chunks can be drawn, and the largest peaks before them.

    A chunk can be drawn once those before it are explained; with ``--scale stream``, once all are. If frames are
    interpolated towards the next explained one, the chunk after it must be explained too. The peaks of interpolated
    frames may be larger than those around them, unless coarse maps are mixed linearly: then a chunk waits until the one
    before it is drawn.

    Args:
        num_chunks: of the run.
        temporal: selection, interpolation and scale.
        map_kind: how the maps are shown.
    """

    def __init__(self, num_chunks: int, temporal: TemporalOptions, map_kind: MapKind) -> None:
        self._num_chunks = num_chunks
        self._scale = temporal.scale
        is_mixed = map_kind == "heat" and temporal.interpolation == "linear"
        self.needs_next = temporal.every != 1 and temporal.interpolation != "hold"
        self.is_serial = self._scale == "running" and self.needs_next and not is_mixed
        self._peaks: dict[int, Peaks] = {}
        self._peaks_before: list[Peaks] = [()]
        self._drawn: dict[int, Peaks] = {}
        self._waiting = set(range(num_chunks))

    def add_explained(self, chunk: int, peaks: Peaks) -> None:
        """Enter the largest peaks of an explained chunk."""
        self._peaks[chunk] = peaks
        while (last := len(self._peaks_before) - 1) in self._peaks:
            self._peaks_before.append(_largest((self._peaks_before[last], self._peaks[last])))

    def add_drawn(self, chunk: int, running_peaks: Peaks) -> None:
        """Enter the largest peaks up to the end of a drawn chunk; it is not drawn again."""
        self._drawn[chunk] = running_peaks
        self._waiting.discard(chunk)

    @property
    def stream_peaks(self) -> Peaks:
        """The largest peaks of all chunks, for ``--scale stream``; none for other scales."""
        return _largest(self._peaks.values()) if self._scale == "stream" else ()

    def running_peaks(self, chunk: int) -> Peaks:
        """Return the largest peaks before a chunk."""
        if self._scale != "running" or chunk == 0:
            return ()
        return self._drawn[chunk - 1] if self.is_serial else self._peaks_before[chunk]

    def pop_drawable(self) -> list[int]:
        """Return the chunks that can be drawn from now on; each is returned once."""
        found = sorted(chunk for chunk in self._waiting if self._is_drawable(chunk))
        self._waiting.difference_update(found)
        return found

    def _is_drawable(self, chunk: int) -> bool:
        num_needed = min(self._num_chunks, chunk + 1 + self.needs_next)
        if self._scale == "stream":
            num_needed = self._num_chunks
        is_scaled = not self.is_serial or chunk == 0 or chunk - 1 in self._drawn
        return len(self._peaks_before) > num_needed and is_scaled


def _largest(peaks: Iterable[Peaks]) -> Peaks:
    found = [one for one in peaks if one]
    return tuple(map(max, zip(*found, strict=True)))
