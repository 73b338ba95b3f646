from __future__ import annotations

import numpy as np
import pytest

from streamcam.live import tally as module
from streamcam.live.pace import Pace
from streamcam.live.tally import Histogram, Tally


def test_percentiles_are_those_of_numpy_to_the_millisecond():
    ages = np.random.default_rng(0).gamma(2, 0.03, 5000)
    histogram = Histogram()
    for age in ages:
        histogram.record(age)
    expected = np.percentile(ages * 1000, (50, 99), method="inverted_cdf")
    assert histogram.ages.p50 == np.ceil(expected[0])
    assert histogram.ages.p99 == np.ceil(expected[1])
    assert histogram.ages.max == np.ceil(ages.max() * 1000)


def test_nothing_has_no_age_and_what_is_very_old_counts_as_the_oldest():
    histogram = Histogram()
    assert histogram.ages == (type(histogram.ages))()
    histogram.record(1e6)
    assert histogram.ages.max == 60_000


def test_joined_histograms_hold_all():
    parts = [Histogram(), Histogram()]
    parts[0].record(0.010)
    parts[1].record(0.030)
    assert Histogram.joined(parts).ages.p50 == 10
    assert Histogram.joined(parts).ages.max == 30


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_rates_are_those_of_the_last_seconds(clock):
    tally = Tally()
    for _ in range(100):
        clock.now += 0.04
        tally.shown(0.02)
    assert tally.fps == pytest.approx(25, abs=0.5)
    clock.now += 60
    assert tally.fps == 0
    assert tally.recent.p99 == 0
    assert tally.frames_shown == 100


def test_a_young_rate_is_not_diluted(clock):
    tally = Tally()
    for _ in range(11):
        tally.explained()
        clock.now += 0.1
    assert tally.explained_fps == pytest.approx(10, rel=0.11)


def test_a_model_that_keeps_up_is_waited_for_and_one_that_does_not_is_not():
    pace = Pace(0.15)
    assert pace.patience == 0.15
    for _ in range(20):
        pace.explained(0.2)
        for _ in range(4):
            pace.passed()
    assert pace.patience == 0
    for _ in range(100):
        pace.explained(0.02)
    assert pace.patience == 0.15


def test_a_prompt_model_that_sees_every_second_frame_is_not_waited_for():
    pace = Pace(0.15)
    for _ in range(30):
        pace.explained(0.06)
        pace.passed()
    assert pace.patience == 0


def test_one_hiccup_changes_nothing():
    pace = Pace(0.15)
    for _ in range(50):
        pace.explained(0.02)
    pace.passed()
    assert pace.patience == 0.15
