"""Statistics of a layer's channels, accumulated frame by frame: dead, duplicate and noise channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..tf import tf

Floats: TypeAlias = NDArray[np.float64]

DUPLICATE_CORRELATION = 0.999
"""Channels whose values correlate more than this over the input are duplicates."""

NOISE_AUTOCORRELATION = 0.05
"""Maps are noise if their spatial autocorrelation exceeds 1.3 times that of white noise on as many positions by no more
than this. White noise passes in 96 to 99 % of the maps on 8×8 positions, and always on 16×16; most channels of networks
have 0.1 to 0.5. Moran's I alone would count edge filters: along an edge they correlate, across it they alternate."""

_DISPLACEMENTS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
"""Rows and columns between the positions that are compared."""

NOISE_KURTOSIS = 10.0
"""A map of a few peaks has no autocorrelation either, but a kurtosis above this. Normal noise has 3, its positive part
5.6."""

MIN_NOISE_POSITIONS = 64
"""Maps of fewer positions are too small to distinguish noise."""

_MIN_RELATIVE_STD = 1e-5
"""Values that vary less, relative to the largest, are constant up to rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """Statistics of the channels of a layer over the whole input.

    Attributes:
        minimum, maximum, mean: activation of each channel, float64 ``(channels,)``.
        autocorrelation: spatial autocorrelation, 0 to 1: root mean square of the correlation between positions that are
            one or two apart (across, down and diagonally); near 0 for white noise, NaN for constant maps.
        dead: channels that were never above 0.
        duplicates: channels whose values are those of an earlier channel, up to a positive factor and an offset.
        duplicate_of: for each of the duplicates, that earlier channel.
        noise: channels whose maps have the spatial autocorrelation of white noise.
        noise_threshold: the autocorrelation below which they count as noise; None if the maps are too small.
    """

    minimum: Floats
    maximum: Floats
    mean: Floats
    autocorrelation: Floats
    dead: tuple[int, ...]
    duplicates: tuple[int, ...]
    duplicate_of: tuple[int, ...]
    noise: tuple[int, ...]
    noise_threshold: float | None


class StatisticsAccumulator:
    """Accumulates the statistics of one layer.

    Its memory does not grow with the number of frames.

    Args:
        spatial_shape: rows and columns of the maps.
        channels: number of channels.
    """

    def __init__(self, spatial_shape: tuple[int, int], channels: int) -> None:
        self._shape = spatial_shape
        self._num_frames = 0
        self._minimum, self._maximum = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._shift: NDArray[np.float32] | None = None
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))
        self._neighbours = np.zeros((len(_DISPLACEMENTS), channels))
        self._squares, self._fourth_powers = np.zeros((2, channels))

    def add(self, maps: NDArray[np.float32]) -> None:
        """Add the maps of one frame, float32 ``(h, w, channels)``, finite."""
        self._num_frames += 1
        self._minimum = np.minimum(self._minimum, maps.min(axis=(0, 1)))
        self._maximum = np.maximum(self._maximum, maps.max(axis=(0, 1)))
        if self._shift is None:
            self._shift = maps.mean(axis=(0, 1))
        # Shifted by the first mean, sums of products keep their precision where the variance is small.
        shifted = (maps - self._shift).reshape(-1, maps.shape[2])
        self._sum += shifted.sum(axis=0, dtype=np.float64)
        self._products += _gram_matrix(shifted)
        centered = maps - maps.mean(axis=(0, 1))
        for number, (down, across) in enumerate(_DISPLACEMENTS):
            first, second = _overlap(centered, down, across), _overlap(centered, -down, -across)
            self._neighbours[number] += np.einsum("ijc,ijc->c", first, second, dtype=np.float64)
        squares = centered * centered
        self._squares += squares.sum(axis=(0, 1), dtype=np.float64)
        self._fourth_powers += np.einsum("ijc,ijc->c", squares, squares, dtype=np.float64)

    def result(self) -> ChannelStatistics:
        """Return the statistics of the frames added so far, at least one."""
        assert self._shift is not None
        positions = self._shape[0] * self._shape[1]
        count = positions * self._num_frames
        covariance = self._products / count - np.outer(self._sum, self._sum) / count**2
        smallest_std = _MIN_RELATIVE_STD * np.maximum(np.abs(self._minimum), np.abs(self._maximum))
        with np.errstate(divide="ignore", invalid="ignore"):
            std = np.sqrt(np.diag(covariance))
            correlation = covariance / np.outer(std, std)
            correlation[~(std > smallest_std)] = 0
            correlation[:, ~(std > smallest_std)] = 0
            by_displacement = self._neighbours / self._squares * (positions / self._num_pairs()[:, None])
            autocorrelation = np.sqrt(np.mean(by_displacement**2, axis=0))
            kurtosis = self._fourth_powers / self._squares**2 * count
            varies = np.sqrt(self._squares / count) > smallest_std
        autocorrelation[~varies] = np.nan
        threshold = NOISE_AUTOCORRELATION + 1.3 * float(np.sqrt(np.mean(1 / self._num_pairs())))
        is_noise = varies & (autocorrelation < threshold) & (kurtosis < NOISE_KURTOSIS)
        is_noise &= positions >= MIN_NOISE_POSITIONS
        originals = _originals(correlation > DUPLICATE_CORRELATION)
        return ChannelStatistics(
            minimum=self._minimum,
            maximum=self._maximum,
            mean=self._shift + self._sum / count,
            autocorrelation=autocorrelation,
            dead=_numbers(self._maximum <= 0),
            duplicates=tuple(originals),
            duplicate_of=tuple(originals.values()),
            noise=_numbers(is_noise),
            noise_threshold=threshold if positions >= MIN_NOISE_POSITIONS else None,
        )

    def _num_pairs(self) -> Floats:
        """Return the number of pairs of positions at each displacement."""
        rows, columns = self._shape
        return np.array([max(1, (rows - down) * (columns - abs(across))) for down, across in _DISPLACEMENTS], float)


def _gram_matrix(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``values.T @ values``.

    On two busy cores the threads of NumPy's library wait for one another: 112 CPU ms for 16128×96 against 10 ms. On a
    GPU, TensorFlow would round to fewer digits.
    """
    with tf.device("cpu"):
        return np.asarray(tf.linalg.matmul(values, values, transpose_a=True))


def _overlap(maps: NDArray[np.float32], down: int, across: int) -> NDArray[np.float32]:
    """Return the part of maps ``(h, w, channels)`` with a position at a displacement."""
    rows = slice(max(0, -down), maps.shape[0] - max(0, down))
    columns = slice(max(0, -across), maps.shape[1] - max(0, across))
    return maps[rows, columns]


def _originals(agree: NDArray[np.bool_]) -> dict[int, int]:
    """Return the earlier channel of each duplicate."""
    originals: dict[int, int] = {}
    for number in np.flatnonzero(np.triu(agree, 1).any(axis=0)):
        earlier = [int(one) for one in np.flatnonzero(agree[:number, number]) if int(one) not in originals]
        if earlier:
            originals[int(number)] = earlier[0]
    return originals


def _numbers(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(number) for number in np.flatnonzero(mask))
