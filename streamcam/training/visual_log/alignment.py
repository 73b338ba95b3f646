"""Measure how much of an image an augmentation left: search for it after flips, shifts, crops, zooms and rotations."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .evidence import FloatArray
from .recorder import shrink

SIDE, _FINE_SIDE = 32, 64
_FINE_SCALES = (1.0, 1.15, 1.3, 0.87, 0.75, 0.65, 0.57, 0.5, 0.43, 0.37)
_SCALES = (1.0, 1.25, 0.8)
_ANGLES = tuple(range(0, 360, 15))
_SURE, _SAME, _MAX_FLAT = 0.55, 0.9, 0.5
_MIN_OVERLAP = 0.3
_MIN_NEIGHBORS = 0.4
"""Least correlation of neighbouring areas."""

_SMOOTHING = 5 / 32
"""Width of the mean that is subtracted, relative to the side: shapes remain, shading goes."""


@dataclass(frozen=True, slots=True)
class Remains:
    """The remains of an image.

    Attributes:
        similarity: correlation of details at the best alignment, times the root of the share of the original that it
            covers; 1 for an unchanged image, about 0.35 for an unrelated one.
        flat: share of the image that is of one color, beyond that of the original.
        sharpness: share of the contrast in details, relative to the original.
    """

    similarity: float
    flat: float
    sharpness: float


def compare(original: NDArray[Any], changed: NDArray[Any]) -> Remains:
    """Compare an image with its augmented form.

    Args:
        original: ``(height, width, channels)``, of any size and range.
        changed: likewise.
    """
    first, second = _luma(original, SIDE), _luma(changed, SIDE)
    flat = _flat_share(changed) - _flat_share(original)
    sharpness = _sharpness(second) / max(_sharpness(first), 1e-9)
    similar = similarity(original, changed)
    if similar < _SURE and flat <= _MAX_FLAT:
        similar = max(similar, _edge_similarity(original, changed))
    return Remains(similar, flat, sharpness)


def _edge_similarity(original: NDArray[Any], changed: NDArray[Any]) -> float:
    """Return the correlation of edges in place: inverted and solarised images keep them.

    In another color space, one of the channels keeps them.
    """
    channels = range(changed.shape[2] if changed.shape[2] <= 4 else 0)
    first = _unit_edges(original)
    second = [_unit_edges(one) for one in (changed, *(changed[..., c : c + 1] for c in channels))]
    return max(float((first * other).sum()) for other in second)


def _unit_edges(image: NDArray[Any]) -> FloatArray:
    """Return a map of edges of mean 0 and norm 1."""
    edges = _luma(_edges(image)[..., None], SIDE)
    edges = edges - edges.mean()
    unit: FloatArray = edges / max(float(np.linalg.norm(edges)), 1e-9)
    return unit


def _edges(image: NDArray[Any]) -> FloatArray:
    luma = np.nan_to_num(_gray(image))
    edges: FloatArray = np.abs(np.diff(luma, axis=0))[:, :-1] + np.abs(np.diff(luma, axis=1))[:-1]
    return edges


def has_structure(image: NDArray[Any]) -> bool:
    """Return True if neighbouring areas of an image are alike.

    Args:
        image: as for `compare`.
    """
    luma = _luma(image, SIDE)
    luma = luma - luma.mean()
    energy = float((luma**2).mean())
    neighbors = float((luma[1:] * luma[:-1]).mean() + (luma[:, 1:] * luma[:, :-1]).mean()) / 2
    return neighbors > _MIN_NEIGHBORS * energy > 0


def similarity(original: NDArray[Any], changed: NDArray[Any], *, turn: bool = True) -> float:
    """Return how much of an image is found in another, as `Remains.similarity`.

    Args:
        original: as for `compare`.
        changed: likewise.
        turn: also search for rotations, if the images do not fit without.
    """
    own, other = _luma(original, SIDE).ravel(), _luma(changed, SIDE).ravel()
    own, other = own - own.mean(), other - other.mean()
    best = float(own @ other / max(float(np.linalg.norm(own) * np.linalg.norm(other)), 1e-9))
    if best >= _SAME:
        return best  # nothing has moved
    best = 0.0
    for keep_ratio in (False, True) if _ratio(original) != _ratio(changed) else (False,):
        fine, fine_changed = (_fit(one, _FINE_SIDE, keep_ratio=keep_ratio) for one in (original, changed))
        for scales in (_FINE_SCALES[:1], _FINE_SCALES[1:]):  # the cheapest first
            if best < _SURE:
                best = max(best, _search(fine, fine_changed, scales, (0,)))
        if turn and best < _SURE:
            coarse, coarse_changed = (_fit(one, SIDE, keep_ratio=keep_ratio) for one in (original, changed))
            best = max(best, _search(coarse, coarse_changed, _SCALES, _ANGLES[1:]))
    return best


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """An image in a square, and a mask of its detailed pixels."""

    luma: FloatArray
    mask: FloatArray


def _search(original: _Fitted, changed: _Fitted, scales: tuple[float, ...], angles: tuple[int, ...]) -> float:
    """Return the best similarity over flips, scales, angles, and all shifts."""
    side = len(original.luma)
    maps = _transforms(side, scales, angles)
    images, masks = (np.append(one.ravel(), np.float32(0))[maps] for one in (changed.luma, changed.mask))
    areas = masks.sum((1, 2))
    size = (2 * side, 2 * side)
    lowpass = _lowpass(side)
    ones = original.mask[None]
    ones_spectrum, mask_spectrum = np.fft.rfft2(ones, size), np.fft.rfft2(masks, size)
    own = _subtract_shading(original.luma[None], ones, ones_spectrum, lowpass)
    turned = _subtract_shading(images, masks, mask_spectrum, lowpass)
    mask_spectrum = np.conj(mask_spectrum)
    product = np.fft.irfft2(np.fft.rfft2(own, size) * np.conj(np.fft.rfft2(turned, size)), size)
    own_energy = np.fft.irfft2(np.fft.rfft2(own**2, size) * mask_spectrum, size)
    other_energy = np.fft.irfft2(ones_spectrum * np.conj(np.fft.rfft2(turned**2, size)), size)
    overlap = np.fft.irfft2(ones_spectrum * mask_spectrum, size)
    total = float((own**2).sum())
    energies = (turned**2).sum((1, 2))[:, None, None]
    valid = (overlap >= _MIN_OVERLAP * areas[:, None, None]) & (other_energy >= _MIN_OVERLAP * energies)
    norm = np.sqrt(np.maximum(own_energy, 1e-9 * total) * np.maximum(other_energy, 1e-9))
    correlation = np.where(valid & (own_energy > 1e-3 * total), product / np.maximum(norm, 1e-12), 0)
    covered = np.clip(own_energy / max(total, 1e-12), 0, 1)
    return float((correlation * np.sqrt(covered)).max())


def _subtract_shading(images: FloatArray, masks: FloatArray, mask_spectrum: Any, lowpass: FloatArray) -> FloatArray:
    """Subtract the mean of the surroundings from images, within their masks."""
    size = (2 * images.shape[1], 2 * images.shape[1])
    side = images.shape[1]
    means = np.fft.irfft2(np.fft.rfft2(images * masks, size) * lowpass, size)[:, :side, :side]
    weights = np.fft.irfft2(mask_spectrum * lowpass, size)[:, :side, :side]
    details: FloatArray = (images - means / np.maximum(weights, 1e-3)) * masks
    return details


@functools.lru_cache(maxsize=2)
def _lowpass(side: int) -> FloatArray:
    """Return the spectrum of a Gaussian, for padded images."""
    rows, columns = np.fft.fftfreq(2 * side), np.fft.rfftfreq(2 * side)
    gaussian: FloatArray = np.exp(
        -2 * (np.pi * _SMOOTHING * side) ** 2 * (rows[:, None] ** 2 + columns[None] ** 2)
    ).astype(np.float32)
    return gaussian


@functools.lru_cache(maxsize=3)
def _transforms(side: int, scales: tuple[float, ...], angles: tuple[int, ...]) -> NDArray[np.intp]:
    """Return index maps that flip, turn and scale; ``side**2`` is outside."""
    centre = (side - 1) / 2
    rows, columns = np.mgrid[:side, :side] - centre
    maps = []
    for scale in scales:
        for angle in angles:
            cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            for flip in (1, -1):
                y = (cosine * rows - sine * columns) / scale
                x = flip * (sine * rows + cosine * columns) / scale
                y, x = np.rint(y + centre).astype(np.intp), np.rint(x + centre).astype(np.intp)
                inside = (y >= 0) & (y < side) & (x >= 0) & (x < side)
                maps.append(np.where(inside, y * side + x, side * side))
    return np.array(maps)


def _ratio(image: NDArray[Any]) -> float:
    """Return width over height, rounded to a tenth."""
    return float(round(image.shape[1] / image.shape[0], 1))


def _fit(image: NDArray[Any], side: int, *, keep_ratio: bool) -> _Fitted:
    """Fit an image into a square: stretched, or with its ratio kept.

    Areas of one color (bars, erased blocks) are not part of the mask, unless hardly anything remains.
    """
    luma = _gray(image)
    detailed = np.zeros(luma.shape, np.float32)
    flat = _flat_pixels(luma)
    detailed[: flat.shape[0], : flat.shape[1]] = ~flat
    detailed[flat.shape[0] :], detailed[:, flat.shape[1] :] = 1, 1
    rows = columns = side
    if keep_ratio:
        longest = max(luma.shape)
        rows, columns = (max(8, round(side * size / longest)) for size in luma.shape)
    square = np.zeros((side, side), np.float32)
    mask = np.zeros((side, side), np.float32)
    top, left = (side - rows) // 2, (side - columns) // 2
    place = np.s_[top : top + rows, left : left + columns]
    square[place] = _stretch(luma, rows, columns)
    mask[place] = _stretch(detailed, rows, columns) > 0.05
    if mask.mean() < 0.05:
        mask[place] = 1
    return _Fitted(square, mask)


def _stretch(luma: FloatArray, rows: int, columns: int) -> FloatArray:
    small = shrink(luma[..., None], max(rows, columns))[..., 0]
    down, across = (np.arange(n) * size // n for n, size in zip((rows, columns), small.shape, strict=True))
    stretched: FloatArray = small[down][:, across]
    return stretched


def _luma(image: NDArray[Any], side: int) -> FloatArray:
    small = shrink(np.nan_to_num(_gray(image))[..., None], side)[..., 0]
    rows, columns = (np.arange(side) * size // side for size in small.shape)
    luma: FloatArray = small[rows][:, columns]
    return luma


def _gray(image: NDArray[Any]) -> FloatArray:
    """Return the mean of the color channels; far faster than `numpy.mean` over a short axis."""
    channels = [image[..., channel].astype(np.float32) for channel in range(min(3, image.shape[2]))]
    gray: FloatArray = sum(channels[1:], start=channels[0]) / len(channels)
    return gray


def _flat_share(image: NDArray[Any]) -> float:
    """Return the share of pixels that equal both neighbours."""
    return float(np.mean(_flat_pixels(_gray(image))))


def _flat_pixels(luma: FloatArray) -> NDArray[np.bool_]:
    """Return which pixels equal both neighbours; one row and column less."""
    span = float(luma.max() - luma.min())
    rows, columns = np.abs(np.diff(luma, axis=0))[:, :-1], np.abs(np.diff(luma, axis=1))[:-1]
    flat: NDArray[np.bool_] = (rows <= 1e-4 * span) & (columns <= 1e-4 * span)
    return flat


def _sharpness(luma: FloatArray) -> float:
    """Return the share of the contrast beyond four periods a side."""
    spectrum = np.abs(np.fft.fft2((luma - luma.mean()) * np.hanning(SIDE)[:, None] * np.hanning(SIDE)[None])) ** 2
    frequency = np.fft.fftfreq(SIDE, 1 / SIDE)
    fine = np.hypot(frequency[:, None], frequency[None]) >= 4
    return float(spectrum[fine].sum() / max(float(spectrum.sum()), 1e-12))
