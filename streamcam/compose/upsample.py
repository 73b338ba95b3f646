"""Spreads a small map over an image, in levels.

Each 2×2 block of pixels, which one chroma sample of a 4:2:0 image covers, gets one level: finer detail has no color of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frames import Heatmap, MapKind
from ..geometry import Geometry, Size, smooth_pixels

LEVELS = 4096
"""Attribution is drawn in this many steps: fine enough that a 10-bit gradient shows none of them."""

_OVERSHOOT = 1.25**2
"""A cubic may rise above its cells by this factor: the sum of its absolute weights, along both axes."""

_LARGEST_PRODUCT = 2**18
"""Multiplications in one matrix product. A larger one wakes the threads of the linear algebra library, which takes
several times longer than the product; so lines are interpolated in bands."""

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Band:
    """Lines ``start`` to ``stop``, which need only the cells ``low`` to ``high``."""

    start: int
    stop: int
    low: int
    high: int


class _Axis:
    """Interpolation along one axis of the blocks.

    Args:
        weights: float32 ``(lines, cells)``, as from `block_weights`.
        breadth: how many values a line has at most.
    """

    def __init__(self, weights: Floats, breadth: int) -> None:
        self._weights = weights
        used = self._weights != 0
        self._first = used.argmax(axis=1)
        self._last = np.where(used.any(axis=1), used.shape[1] - 1 - used[:, ::-1].argmax(axis=1), 0)
        self._bands = self._split_into_bands(breadth)
        # Reused: the allocator returns arrays of this size to the system and faults new pages in each time.
        self._product = np.empty(max(band.stop - band.start for band in self._bands) * breadth, np.float32)

    def __len__(self) -> int:
        return len(self._weights)

    def line_span(self, active: NDArray[np.bool_]) -> slice:
        """Return the span of lines to which the given cells may contribute."""
        indices = np.flatnonzero(active)
        if not indices.size:
            return slice(0, 0)
        lines = np.flatnonzero((self._last >= indices[0]) & (self._first <= indices[-1]))
        return slice(int(lines[0]), int(lines[-1]) + 1)

    def interpolate(self, span: slice, values: Floats, out: Floats | NDArray[np.int16]) -> None:
        """Interpolates the lines of a span.

        Args:
            span: which lines.
            values: float32 ``(cells, n)``.
            out: ``(lines in the span, n)``, written; an integer array gets values rounded towards zero.
        """
        breadth = values.shape[1]
        for band in self._bands:
            start, stop = max(band.start, span.start), min(band.stop, span.stop)
            if start < stop:
                product = self._product[: (stop - start) * breadth].reshape(stop - start, breadth)
                np.matmul(self._weights[start:stop, band.low : band.high], values[band.low : band.high], out=product)
                np.copyto(out[start - span.start : stop - span.start], product, casting="unsafe")

    def _split_into_bands(self, breadth: int) -> list[_Band]:
        """Return the widest bands of equal length whose products are small enough.

        At least one line each.
        """
        length = len(self)
        while True:
            bands = [self._make_band(start, min(start + length, len(self))) for start in range(0, len(self), length)]
            widest = max(band.high - band.low for band in bands)
            if length == 1 or length * widest * breadth <= _LARGEST_PRODUCT:
                return bands
            length = -(-length // 2)

    def _make_band(self, start: int, stop: int) -> _Band:
        return _Band(start, stop, int(self._first[start:stop].min()), int(self._last[start:stop].max()) + 1)


def block_weights(geometry: Geometry, map_size: Size) -> tuple[Floats, Floats]:
    """Return the two matrices that spread a map over 2×2 blocks: ``rows @ map @ columns.T``.

    Args:
        geometry: position and scale of the image in the model's input.
        map_size: ``(w, h)`` of the map.

    Returns:
        float32 ``(blocks down, h)`` and ``(blocks across, w)``.
    """
    width, height = geometry.source
    # Of a map with more cells than blocks each block gets the mean, from finer lines.
    finer = max(1, *(-(-cells // -(-side // 2)) for cells, side in zip(map_size, geometry.source, strict=True)))
    matrices = geometry.upsample_matrices(map_size, (width * finer, height * finer))
    rows, columns = (_average_lines(_cubic_weights(linear), 2 * finer).astype(np.float32) for linear in matrices)
    return rows, columns


def scale_to_levels(heatmap: Heatmap, vmax: float, map_kind: MapKind) -> Floats:
    """Scale a map to levels, not rounded: float32 ``(h, w)``, 0 (signed: ``1 - LEVELS``) to ``LEVELS - 1``.

    Maps of pixels are smoothed first; of a relief only the size counts.
    """
    if vmax <= 0:
        return np.zeros(heatmap.shape, np.float32)
    if map_kind != "heat":
        heatmap = smooth_pixels(np.abs(heatmap) if map_kind == "relief" else heatmap)
    normalized = np.clip(heatmap, -vmax if map_kind == "signed" else 0, vmax) / np.float32(vmax)
    scaled: Floats = normalized * np.float32(LEVELS - 1)
    return scaled


def _cubic_weights(linear: Floats) -> NDArray[np.float64]:
    """Interpolate by a cubic (Catmull-Rom) at the positions of a linear one.

    Linear interpolation of a coarse map shows its cells as creases and stars. A cubic through the same cell centres
    shows none, and keeps position and value of each cell. Beyond the outermost centres it is constant, as the linear
    one is; mirrored cells let it arrive there without a crease.
    """
    map_length = linear.shape[1]
    position = linear.astype(np.float64) @ np.arange(map_length)
    left = np.clip(np.floor(position).astype(np.intp), 0, max(map_length - 2, 0))
    t = position - left
    parts = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    smooth = np.zeros(linear.shape)
    lines = np.arange(len(linear))
    for offset, part in zip((-1, 0, 1, 2), parts, strict=True):
        mirrored = map_length - 1 - np.abs(map_length - 1 - np.abs(left + offset))
        np.add.at(smooth, (lines, np.maximum(mirrored, 0)), part)
    smooth[~linear.any(axis=1)] = 0
    return smooth


def _average_lines(lines: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the mean of each ``count`` lines, and of the rest."""
    begins = np.arange(0, len(lines), count)
    means: NDArray[np.float64] = np.add.reduceat(lines, begins) / np.minimum(count, len(lines) - begins)[:, None]
    return means


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedMap:
    """Attribution in levels over a part of the image.

    Attributes:
        values: int16 ``(h, w)``, one for each 2×2 block: 0 for none to ``LEVELS - 1`` for full, and to
            ``1 - LEVELS`` for full negative attribution, if signed. Some exceed these a little, where the cubic
            overshoots, and count as the nearest level. Overwritten by the next call.
        top, left: the first block's place, in blocks.
    """

    values: NDArray[np.int16]
    top: int
    left: int


class MapUpsampler:
    """Interpolates maps of one size over the blocks of one image.

    Not thread-safe: it reuses its arrays.

    Args:
        geometry: position and scale of the image in the model's input.
        map_size: ``(w, h)`` of the maps.
        map_kind: how they are shown; negative attribution of signed maps gets levels below zero, of others none.
    """

    def __init__(self, geometry: Geometry, map_size: Size, map_kind: MapKind = "heat") -> None:
        self._map_kind = map_kind
        rows, columns = block_weights(geometry, map_size)
        self._columns = _Axis(columns, map_size[1])
        self._rows = _Axis(rows, len(self._columns))
        self._levels = np.empty(len(self._rows) * len(self._columns), np.int16)

    def __call__(self, heatmap: Heatmap, vmax: float, min_level: int) -> QuantizedMap:
        """Return the levels of ``heatmap / vmax`` wherever they may reach ``min_level``.

        Args:
            heatmap: float32 ``(h, w)``, raw attribution.
            vmax: attribution of the highest level, which larger values share. With 0 all levels are 0.
            min_level: the lowest level of interest, on either side of zero; 0 returns the whole image.
        """
        scaled = scale_to_levels(heatmap, vmax, self._map_kind)
        of_interest = np.abs(scaled) * _OVERSHOOT >= min_level
        rows = self._rows.line_span(np.logical_or.reduce(of_interest, axis=1))
        columns = self._columns.line_span(np.logical_or.reduce(of_interest, axis=0))
        height, width = rows.stop - rows.start, columns.stop - columns.start
        across = np.empty((width, len(scaled)), np.float32)
        # With a half added here, rounding towards zero at the end is rounding to the nearest; below zero it is one
        # level of 4095 too close to it.
        self._columns.interpolate(columns, (scaled + np.float32(0.5)).T, across)
        values = self._levels[: height * width].reshape(height, width)
        self._rows.interpolate(rows, np.ascontiguousarray(across.T), values)
        return QuantizedMap(values, rows.start, columns.start)
