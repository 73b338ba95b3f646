"""Clocks of cameras, and who is late, at planted times."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from itertools import pairwise

import pytest

from streamcam.sources.cameras.clocks import TICKS_PER_SECOND, BacklogEstimator, LiveClock, RealtimePacer

STEP = Fraction(1, 25)


def test_time_stamps_keep_the_streams_step_at_any_arrival() -> None:
    clock = LiveClock(0.5)
    placed = [clock.assign_pts(100 + k * STEP, 3 + k / 25 + (0.03 if k % 2 else 0)) for k in range(50)]
    assert placed[0] == 3 * TICKS_PER_SECOND
    assert {b - a for a, b in pairwise(placed)} == {TICKS_PER_SECOND // 25}


def test_a_new_connection_stands_where_it_arrives() -> None:
    clock = LiveClock(0.5)
    assert clock.assign_pts(Fraction(7), 1.0) == TICKS_PER_SECOND
    clock.start_connection()
    assert clock.assign_pts(Fraction(0), 4.0) == 4 * TICKS_PER_SECOND


@pytest.mark.parametrize(("streamed", "expected"), [(Fraction(107), 2.0), (Fraction(0), 2.0), (Fraction("101.3"), 2.3)])
def test_a_clock_that_strays_is_set_anew(streamed: Fraction, expected: float) -> None:
    clock = LiveClock(0.5)
    clock.assign_pts(Fraction(100), 1.0)
    assert clock.assign_pts(streamed, 2.0) == round(expected * TICKS_PER_SECOND)


def test_time_never_stands_still_or_runs_back() -> None:
    clock = LiveClock(0.5)
    times = [(Fraction(9), 1.0), (Fraction(9), 1.0), (Fraction(8), 1.0), (None, 0.5), (Fraction(90), 0.9), (None, 1.0)]
    placed = [clock.assign_pts(streamed, arrived) for streamed, arrived in times]
    assert placed == sorted(set(placed))


def test_a_recording_that_is_read_fast_keeps_its_time() -> None:
    clock = LiveClock(math.inf)
    assert [clock.assign_pts(k * Fraction(1), 0.001 * k) for k in range(4)] == [k * TICKS_PER_SECOND for k in range(4)]


def test_frames_are_held_until_they_are_due() -> None:
    waits: list[float] = []
    pace = RealtimePacer(0.5, waits.append)
    for k in range(4):
        pace.wait_until_due(k * Fraction(10))
    assert waits == pytest.approx([10, 20, 30], abs=0.2)


def test_who_is_late_starts_over_and_does_not_hurry() -> None:
    waits: list[float] = []
    pace = RealtimePacer(0.05, waits.append)
    pace.wait_until_due(Fraction(0))
    time.sleep(0.2)  # the work that made it late
    pace.wait_until_due(Fraction(1, 25))
    pace.wait_until_due(Fraction(1, 25) + 10)
    assert waits == pytest.approx([10], abs=0.04)


@pytest.mark.parametrize("jump", [Fraction(3600), Fraction(-3600)])
def test_a_jump_in_time_is_not_waited_for(jump: Fraction) -> None:
    waits: list[float] = []
    pace = RealtimePacer(0.5, waits.append)
    pace.wait_until_due(Fraction(0))
    pace.wait_until_due(jump)
    assert waits == []


def feed_frames(
    lateness: BacklogEstimator, frames: int, *, cost: float, group: int, backlog: float, rate: int = 25
) -> list[bool]:
    """What is left out of a stream that has sent ``backlog`` seconds already, where a frame takes ``cost`` seconds.

    Time is simulated: a packet that is not there yet is waited for.
    """
    now, busy, left = backlog, 0.0, []
    for index in range(frames):
        asked = now
        now = max(now, index / rate)
        out = lateness.should_drop(
            step_seconds=Fraction(1, rate) if index else None,
            busy_seconds=busy,
            waited_seconds=now - asked,
            is_keyframe=index % group == 0,
        )
        left.append(out)
        busy = 0.0 if out else cost
        now += busy
        assert out or now - index / rate < 0.5 + 2 * backlog + 2 * cost, "its delay has grown"
    return left


def test_a_decoder_that_keeps_up_leaves_nothing_out() -> None:
    assert not any(feed_frames(BacklogEstimator(0.5), 500, cost=0.039, group=25, backlog=0))


def test_a_burst_is_caught_up_with_by_decoding() -> None:
    assert not any(feed_frames(BacklogEstimator(0.5), 500, cost=0.01, group=25, backlog=2.0))


@pytest.mark.parametrize("group", [1, 25, 100])
def test_a_slow_decoder_leaves_out_until_a_key_frame_and_its_delay_stays_bounded(group: int) -> None:
    left = feed_frames(BacklogEstimator(0.5), 2000, cost=0.06, group=group, backlog=0)
    resumed = [k for k in range(1, 2000) if left[k - 1] and not left[k]]
    assert all(k % group == 0 for k in resumed)
    assert 0.25 < sum(left) / len(left) <= 0.75  # a third is too much for it, and more goes until the next key frame
    assert len(resumed) > 2


def test_a_clock_that_runs_wrong_is_no_lateness() -> None:
    """The stream says 50 frames a second and sends 25; the decoder rests half of the time."""
    lateness = BacklogEstimator(0.5)
    assert not any(
        lateness.should_drop(
            step_seconds=Fraction(1, 50), busy_seconds=0.02, waited_seconds=0.02, is_keyframe=k % 25 == 0
        )
        for k in range(500)
    )


def test_after_a_long_sleep_it_goes_on_with_the_first_key_frame_that_was_waited_for() -> None:
    lateness = BacklogEstimator(0.5)
    assert lateness.should_drop(step_seconds=STEP, busy_seconds=3600.0, waited_seconds=0.0, is_keyframe=True)
    assert lateness.should_drop(step_seconds=STEP, busy_seconds=0.0, waited_seconds=0.04, is_keyframe=False)
    assert not lateness.should_drop(step_seconds=STEP, busy_seconds=0.0, waited_seconds=0.04, is_keyframe=True)
