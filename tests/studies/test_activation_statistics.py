"""Statistics of channels against NumPy and the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from streamcam.studies.activation_statistics import ChannelStatistics, StatisticsAccumulator

ROWS, COLUMNS = 10, 14


def accumulate(frames: np.ndarray) -> ChannelStatistics:
    accumulator = StatisticsAccumulator(frames.shape[1:3], frames.shape[3])
    for frame in frames:
        accumulator.add(frame.astype(np.float32))
    return accumulator.result()


def white_noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_extremes_and_means_are_those_of_all_frames() -> None:
    frames = white_noise(7, ROWS, COLUMNS, 5) + np.arange(5) * 100.0
    found = accumulate(frames)
    np.testing.assert_allclose(found.minimum, frames.min(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.maximum, frames.max(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.mean, frames.mean(axis=(0, 1, 2)), atol=1e-4)


def test_autocorrelation_follows_its_definition() -> None:
    frames = np.cumsum(white_noise(3, ROWS, COLUMNS, 1), axis=1)
    centered = frames[..., 0] - frames[..., 0].mean(axis=(1, 2), keepdims=True)
    correlations = []
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
        products = [
            one[row, column] * one[row + down, column + across]
            for one in centered
            for row in range(ROWS - down)
            for column in range(COLUMNS)
            if 0 <= column + across < COLUMNS
        ]
        correlations.append(np.mean(products) / np.mean(centered**2))
    expected = np.sqrt(np.mean(np.square(correlations)))
    assert accumulate(frames).autocorrelation[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_duplicates_are_channels_that_correlate_over_all_frames(offset: float) -> None:
    frames = white_noise(4, ROWS, COLUMNS, 6) + offset
    frames[..., 3] = 4 * frames[..., 1]  # scaled
    frames[..., 5] = frames[..., 1] + 0.01 * frames[..., 0]  # correlation 0.99995
    frames[..., 4] = -frames[..., 1]
    found = accumulate(frames)
    assert (found.duplicates, found.duplicate_of) == ((3, 5), (1, 1))
    frames[2, ..., 3] = frames[2, ..., 2]  # one frame differs
    assert accumulate(frames).duplicates == (5,)


def test_constant_and_dead_channels_are_neither_duplicates_nor_noise() -> None:
    frames = np.abs(white_noise(2, ROWS, COLUMNS, 5))
    frames[..., 1] = 0.0
    frames[..., 2] = 3.0
    frames[..., 3] = -0.5
    frames[..., 4] = np.array([1.0, 7.0])[:, None, None] / 3  # constant in space only
    found = accumulate(frames)
    assert found.dead == (1, 3)
    assert found.duplicates == ()
    assert found.noise == (0,)
    assert np.isnan(found.autocorrelation[1:]).all()


def test_only_white_noise_is_noise() -> None:
    rows, columns = np.mgrid[:32, :32]
    maps = np.stack(
        [
            white_noise(32, 32, seed=1),
            np.maximum(white_noise(32, 32, seed=2), 0),
            rows + columns,
            (rows + columns) % 2,  # alternates
            np.sin(columns),  # along an edge alike, across it alternating
            np.isin(rows * 32 + columns, (200, 777)),  # two peaks
            np.roll(white_noise(32, 32, seed=3), 1, 0) + white_noise(32, 32, seed=3),  # smoothed
        ],
        axis=-1,
    )
    found = accumulate(maps[None].astype(float))
    assert found.noise == (0, 1)
    assert found.noise_threshold == pytest.approx(0.05 + 1.3 / 32, abs=0.01)


def test_small_maps_are_not_judged() -> None:
    found = accumulate(white_noise(1, 7, 7, 3))
    assert (found.noise, found.noise_threshold) == ((), None)


def test_memory_does_not_grow_with_the_frames() -> None:
    accumulator = StatisticsAccumulator((ROWS, COLUMNS), 8)
    frame = white_noise(ROWS, COLUMNS, 8).astype(np.float32)

    def num_bytes() -> int:
        return sum(one.nbytes for one in vars(accumulator).values() if isinstance(one, np.ndarray))

    accumulator.add(frame)
    before = num_bytes()
    for _ in range(50):
        accumulator.add(frame)
    assert num_bytes() == before
