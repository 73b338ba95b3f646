from __future__ import annotations

import numpy as np
import pytest

from streamcam.live import stats as module
from streamcam.live.stats import FrameStats, Histogram
from streamcam.live.sync_policy import SyncPolicy


def test_percentiles_are_those_of_numpy_to_the_millisecond():
    latencies = np.random.default_rng(0).gamma(2, 0.03, 5000)
    histogram = Histogram()
    for latency in latencies:
        histogram.record(latency)
    expected = np.percentile(latencies * 1000, (50, 99), method="inverted_cdf")
    assert histogram.latency.p50 == np.ceil(expected[0])
    assert histogram.latency.p99 == np.ceil(expected[1])
    assert histogram.latency.max == np.ceil(latencies.max() * 1000)


def test_an_empty_histogram_is_zero_and_long_latencies_share_the_last_bin():
    histogram = Histogram()
    assert histogram.latency == (type(histogram.latency))()
    histogram.record(1e6)
    assert histogram.latency.max == 60_000


def test_merged_histograms_hold_all():
    parts = [Histogram(), Histogram()]
    parts[0].record(0.010)
    parts[1].record(0.030)
    assert Histogram.merge(parts).latency.p50 == 10
    assert Histogram.merge(parts).latency.max == 30
    assert Histogram.merge(parts).sum_seconds == pytest.approx(0.040)


def test_buckets_are_cumulative_and_exact_at_their_bounds():
    latencies = np.random.default_rng(1).gamma(2, 0.2, 2000).round(6)
    latencies[:4] = 0.01, 0.010001, 0.5, 70.0
    stats = FrameStats()
    for latency in latencies:
        stats.count_shown(float(latency))
    histogram = stats.latency_histogram
    assert histogram.buckets == tuple((bound, int((latencies <= bound).sum())) for bound, _ in histogram.buckets)
    assert histogram.buckets[-1][1] == len(latencies) - 1
    assert histogram.count == stats.frames_shown == len(latencies)
    assert histogram.sum_seconds == pytest.approx(latencies.sum())
    stats.count_shown(0.02)
    later = stats.latency_histogram
    assert all(b[1] >= a[1] for a, b in zip(histogram.buckets, later.buckets, strict=True))
    assert later.count == histogram.count + 1


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_rates_are_those_of_the_last_seconds(clock):
    stats = FrameStats()
    for _ in range(100):
        clock.now += 0.04
        stats.count_shown(0.02)
    assert stats.fps == pytest.approx(25, abs=0.5)
    clock.now += 60
    assert stats.fps == 0
    assert stats.recent_latency.p99 == 0
    assert stats.frames_shown == 100


def test_a_young_rate_is_not_diluted(clock):
    stats = FrameStats()
    for _ in range(11):
        stats.count_explained()
        clock.now += 0.1
    assert stats.explained_fps == pytest.approx(10, rel=0.11)


@pytest.mark.parametrize(("interval", "limit"), [(0.04, 3), (5, 10), (60, 120)])
def test_a_silent_camera_is_stalled_after_its_own_pace(clock, interval, limit):
    stats = FrameStats()
    for _ in range(10):
        clock.now += interval
        assert not stats.stalled
        stats.count_received()
        stats.count_shown(0.02)
    clock.now += 0.99 * limit
    assert not stats.stalled
    clock.now += 0.02 * limit
    assert stats.stalled
    stats.count_received()
    assert not stats.stalled


def test_a_camera_whose_frames_are_all_dropped_is_stalled(clock):
    stats = FrameStats()
    for _ in range(100):
        clock.now += 0.04
        stats.count_received()
        stats.count_dropped()
    assert stats.stalled
    stats.count_paused()
    assert not stats.stalled


def test_a_model_that_keeps_up_is_waited_for_and_one_that_does_not_is_not():
    policy = SyncPolicy(0.15)
    assert policy.wait_seconds == 0.15
    for _ in range(20):
        policy.record_explained(0.2)
        for _ in range(4):
            policy.record_dropped()
    assert policy.wait_seconds == 0
    for _ in range(100):
        policy.record_explained(0.02)
    assert policy.wait_seconds == 0.15


def test_a_fast_model_that_explains_every_second_frame_is_not_waited_for():
    policy = SyncPolicy(0.15)
    for _ in range(30):
        policy.record_explained(0.06)
        policy.record_dropped()
    assert policy.wait_seconds == 0


def test_one_hiccup_changes_nothing():
    policy = SyncPolicy(0.15)
    for _ in range(50):
        policy.record_explained(0.02)
    policy.record_dropped()
    assert policy.wait_seconds == 0.15
