"""The clock of frames, against hand-made sequences."""

from __future__ import annotations

from fractions import Fraction

from streamcam.sources.timeline import LEAP, Timeline


def clock(shift: Fraction = Fraction(0)) -> Timeline:
    return Timeline(Fraction(1, 1000), step=40, shift=shift)


def test_good_stamps_pass() -> None:
    timeline = clock()
    assert [timeline.place(pts) for pts in (5, 40, 41, 300)] == [5, 40, 41, 300]
    assert timeline.moved == 0


def test_standing_still_and_running_back_are_moved() -> None:
    timeline = clock()
    assert [timeline.place(pts) for pts in (100, 100, 90, 200)] == [100, 101, 102, 200]
    assert timeline.moved == 2


def test_a_recording_that_starts_over_continues() -> None:
    timeline = clock()
    assert [timeline.place(pts) for pts in (5000, 5040, 0, 40, 80)] == [5000, 5040, 5080, 5120, 5160]
    assert timeline.moved == 1


def test_shift_is_taken_off() -> None:
    timeline = clock(Fraction(1, 2))
    assert [timeline.place(pts) for pts in (500, 540)] == [0, 40]


def test_a_leap_ahead_is_a_new_recording_where_clocks_wrap_around() -> None:
    stamps = (0, 40, 95_000_000, 95_000_040, 3_000)
    timeline = Timeline(Fraction(1, 1000), step=40, leap=LEAP)
    assert [timeline.place(pts) for pts in stamps] == [0, 40, 80, 120, 160]
    assert (timeline.leaps, timeline.moved) == (1, 1)
    assert [timeline.taken_off(recording) for recording in range(4)] == [
        0,
        Fraction(9499992, 100),
        Fraction(284, 100),
        Fraction(284, 100),
    ]
    assert [clock().place(pts) for pts in stamps[:3]] == list(stamps[:3])


def test_an_hour_of_silence_is_kept() -> None:
    timeline = Timeline(Fraction(1, 1000), step=40, leap=LEAP)
    assert [timeline.place(pts) for pts in (0, 3_600_000)] == [0, 3_600_000]
    assert timeline.leaps == 0
