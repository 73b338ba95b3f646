"""The course of an ascent: octaves, transformations, learning rate, and the weight of the peak."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import streamcam
from streamcam.options import FilterOptions
from streamcam.studies.filters import ascent
from streamcam.studies.filters.schedule import choose_schedule
from streamcam.tf import keras


@pytest.mark.parametrize("stride", [1, 4, 8, 16, 32, math.inf])
def test_an_ascent_calms_down_and_slows_down(stride: float) -> None:
    schedule, options = choose_schedule(stride), FilterOptions(learning_rate=0.1)
    progress = np.linspace(0, 1, 101, dtype=np.float32)
    strengths = [float(schedule.transformation_strength(one)) for one in progress]
    rates = [float(schedule.learning_rate(one, options)) for one in progress]
    assert strengths == sorted(strengths, reverse=True)
    assert (strengths[0], strengths[95]) == (1, 0)
    assert rates[0] == pytest.approx(0.1)
    calm = rates[next(n for n, one in enumerate(progress) if one > schedule.calm_at) :]
    assert calm == sorted(calm, reverse=True)
    assert calm[-1] <= 0.1 + 1e-6


def test_first_layers_start_at_full_size() -> None:
    image = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(2, 3, strides=4, padding="same", name="fine")(image)
    x = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="coarse")(x)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))

    def first_side(**options: Any) -> int:
        study = streamcam.visualize_filters(model, filters=0, steps=2, history=2, preprocess="0..1", **options)
        return len(study.filters[0].history[0])

    assert first_side(layer="fine") == 64
    assert first_side(layer="coarse") == 32


def test_the_best_position_counts_beside_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of the differences of neighbours is that of the borders alone: only the peak has an edge inside."""
    image = keras.Input((16, 16, 3))
    layer = keras.layers.Conv2D(1, (2, 1), use_bias=False, name="edges")
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(layer(image))))
    layer.set_weights([np.repeat([1.0, -1.0], 3).reshape(2, 1, 3, 1)])

    def peak() -> float:
        study = streamcam.visualize_filters(
            model, layer="edges", filters=0, steps=60, jitter=0, scale=0, rotation=0, preprocess="0..1"
        )
        return study.filters[0].peak

    best = peak()
    monkeypatch.setattr(ascent, "_PEAK_WEIGHT", 0.0)
    assert best > 1.2 * peak()
