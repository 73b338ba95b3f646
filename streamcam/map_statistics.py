"""Statistics of attribution maps: area, centroid, entropy, drift, and the share of a region.

All count the evidence of a map: `evidence`. Each position is a cell that divides the model's input evenly, and evidence
is spread evenly over it. Every function takes maps ``(…, h, w)`` and returns a number for each; NaN if a map holds no
evidence.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers: TypeAlias = NDArray[np.float64]
"""One number for each map, float64 ``(…)``."""

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the image's width and height."""

HALF = 0.5
"""Fraction of the largest attribution from which a position counts for `area`."""


def evidence(maps: ArrayLike, *, signed: bool = False) -> Numbers:
    """Return the evidence at each position, float64 ``(…, h, w)``, ≥ 0.

    Args:
        maps: attribution ``(…, h, w)``; values that are not finite count as 0.
        signed: True to count negative attribution by its size; False to ignore it.
    """
    values = np.nan_to_num(np.asarray(maps, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.abs(values) if signed else np.maximum(values, 0.0)


def area(weights: Numbers) -> Numbers:
    """Return the share of positions with half the peak or more.

    Args:
        weights: as from `evidence`.
    """
    peak = weights.max(axis=(-2, -1), keepdims=True)
    share = (weights >= HALF * peak).mean(axis=(-2, -1))
    return np.where(peak[..., 0, 0] > 0, share, np.nan)


def centroid(weights: Numbers) -> tuple[Numbers, Numbers]:
    """Return the center of the evidence.

    It is ``(x, y)``, as fractions of width and height.

    Args:
        weights: as from `evidence`.
    """
    rows, columns = weights.shape[-2:]
    density = _density(weights)
    x = (density.sum(axis=-2) * ((np.arange(columns) + 0.5) / columns)).sum(axis=-1)
    y = (density.sum(axis=-1) * ((np.arange(rows) + 0.5) / rows)).sum(axis=-1)
    return x, y


def entropy(weights: Numbers) -> Numbers:
    """Return how evenly the evidence is spread: 0 for one position, 1 for all alike.

    It is the Shannon entropy over that of an even map; 0 for maps of one position.

    Args:
        weights: as from `evidence`.
    """
    density = _density(weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(density == 0, 0.0, -density * np.log(density))
    num_positions = weights.shape[-2] * weights.shape[-1]
    return np.asarray(terms.sum(axis=(-2, -1)) / max(np.log(num_positions), np.finfo(float).tiny), np.float64)


def drift(before: Numbers, after: Numbers) -> Numbers:
    """Return the share of the evidence that has moved, 0–1: the total variation distance.

    Args:
        before: as from `evidence`.
        after: as from `evidence`, of the same shape.
    """
    return np.asarray(np.abs(_density(before) - _density(after)).sum(axis=(-2, -1)) / 2, np.float64)


def region_share(weights: Numbers, coverage: NDArray[np.floating]) -> Numbers:
    """Return the share of the evidence inside a region, 0–1.

    Args:
        weights: as from `evidence`.
        coverage: part of each position that the region covers, ``(h, w)`` or ``(…, h, w)``; see `box_coverage` and
            `mask_coverage`.
    """
    return np.asarray((_density(weights) * coverage).sum(axis=(-2, -1)), np.float64)


def box_coverage(box: Box, shape: tuple[int, int]) -> Numbers:
    """Return the part of each position that a box covers, ``(h, w)``.

    Args:
        box: left, top, right and bottom, as fractions.
        shape: rows and columns of the map.
    """
    left, top, right, bottom = box
    return np.outer(_interval_coverage(top, bottom, shape[0]), _interval_coverage(left, right, shape[1]))


def mask_coverage(mask: NDArray[Any], shape: tuple[int, int]) -> Numbers:
    """Return the part of each position that a mask covers, ``(h, w)``.

    Args:
        mask: of the whole image, of any size ``(H, W)``; the region is not 0.
        shape: rows and columns of the map.
    """
    inside = np.asarray(mask, bool).astype(np.float64)
    rows, columns = (_averaging_matrix(*lengths) for lengths in zip(inside.shape, shape, strict=True))
    return np.asarray(rows @ inside @ columns.T, np.float64)


def _density(weights: Numbers) -> Numbers:
    """Return the weights with a sum of 1; NaN for a map of zeros."""
    # The largest is 1 first: a sum of very small numbers would not be a normal number.
    peak = weights.max(axis=(-2, -1), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = weights / peak
        return np.asarray(scaled / scaled.sum(axis=(-2, -1), keepdims=True), np.float64)


def _interval_coverage(start: float, end: float, length: int) -> Numbers:
    edges = np.arange(length + 1) / length
    return np.asarray(
        np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0.0, None) * length, np.float64
    )


def _averaging_matrix(source: int, target: int) -> Numbers:
    """Return the matrix that averages ``source`` samples over ``target`` equal parts, ``(target, source)``."""
    starts, ends = np.arange(target) / target, (np.arange(target) + 1) / target
    parts = [_interval_coverage(start, end, source) for start, end in zip(starts, ends, strict=True)]
    return np.stack(parts) * (target / source)
