"""The clock of frames, against hand-made sequences."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.packet import Packet

from streamcam.sources.files.passthrough import PassthroughQueue
from streamcam.sources.files.timeline import FORWARD_JUMP_SECONDS, Timeline


def clock(shift: Fraction = Fraction(0)) -> Timeline:
    return Timeline(Fraction(1, 1000), step_ticks=40, shift_seconds=shift)


def test_good_stamps_pass() -> None:
    timeline = clock()
    assert [timeline.assign_pts(pts) for pts in (5, 40, 41, 300)] == [5, 40, 41, 300]
    assert timeline.num_corrected == 0


def test_standing_still_and_running_back_are_moved() -> None:
    timeline = clock()
    assert [timeline.assign_pts(pts) for pts in (100, 100, 90, 200)] == [100, 101, 102, 200]
    assert timeline.num_corrected == 2


def test_a_recording_that_starts_over_continues() -> None:
    timeline = clock()
    assert [timeline.assign_pts(pts) for pts in (5000, 5040, 0, 40, 80)] == [5000, 5040, 5080, 5120, 5160]
    assert timeline.num_corrected == 1


def test_shift_is_taken_off() -> None:
    timeline = clock(Fraction(1, 2))
    assert [timeline.assign_pts(pts) for pts in (500, 540)] == [0, 40]


def test_a_leap_ahead_is_a_new_recording_where_clocks_wrap_around() -> None:
    stamps = (0, 40, 95_000_000, 95_000_040, 3_000)
    timeline = Timeline(Fraction(1, 1000), step_ticks=40, max_gap_seconds=FORWARD_JUMP_SECONDS)
    assert [timeline.assign_pts(pts) for pts in stamps] == [0, 40, 80, 120, 160]
    assert (timeline.num_jumps, timeline.num_corrected) == (1, 1)
    assert [timeline.recording_shift_seconds(recording) for recording in range(4)] == [
        0,
        Fraction(9499992, 100),
        Fraction(284, 100),
        Fraction(284, 100),
    ]
    assert [clock().assign_pts(pts) for pts in stamps[:3]] == list(stamps[:3])


def test_an_hour_of_silence_is_kept() -> None:
    timeline = Timeline(Fraction(1, 1000), step_ticks=40, max_gap_seconds=FORWARD_JUMP_SECONDS)
    assert [timeline.assign_pts(pts) for pts in (0, 3_600_000)] == [0, 3_600_000]
    assert timeline.num_jumps == 0


@pytest.mark.parametrize(("dts", "dropped"), [(2**62, 1), (2, 0)])
def test_a_packet_beyond_the_range_of_times_is_dropped(tmp_path: Path, dts: int, dropped: int) -> None:
    with av.open(str(tmp_path / "any.mkv"), "w") as output:
        packet = Packet(b"data")
        packet.stream = output.add_stream("aac", rate=44100)
        packet.time_base, packet.dts, packet.pts = Fraction(1, 44100), dts, dts
        queue = PassthroughQueue(Timeline(Fraction(1, 90000), 3600, shift_seconds=Fraction(1, 10)))
        queue.add(packet, dts * packet.time_base)
        assert (len(queue.pop_ready(flush=True)), queue.num_dropped) == (1 - dropped, dropped)


@pytest.mark.parametrize(("late_seconds", "expected_seconds"), [(0, 0), (3000, 3000), (36_000, 2)])
def test_a_stream_that_begins_far_ahead_belongs_to_the_frames_that_follow(
    tmp_path: Path, late_seconds: int, expected_seconds: int
) -> None:
    """The clock of the frames jumps ahead after 2 s; the sound begins with the second recording, or before."""
    timeline = Timeline(Fraction(1, 1000), step_ticks=40, max_gap_seconds=FORWARD_JUMP_SECONDS)
    queue = PassthroughQueue(timeline)
    for pts in range(0, 2000, 40):
        timeline.assign_pts(pts)
    with av.open(str(tmp_path / "any.mkv"), "w") as output:
        packet = Packet(b"data")
        packet.stream = output.add_stream("aac", rate=44100)
        packet.time_base, packet.dts, packet.pts = Fraction(1, 1000), late_seconds * 1000, late_seconds * 1000
        queue.add(packet, Fraction(late_seconds))
        ready = queue.pop_ready()
        assert len(ready) == (late_seconds < FORWARD_JUMP_SECONDS)
        timeline.assign_pts(36_000_000)
        ready += queue.pop_ready()
        assert [Fraction(one.dts) * one.time_base for one in ready] == [expected_seconds]


def test_a_stream_that_begins_in_the_second_recording_is_shifted_like_it(tmp_path: Path) -> None:
    timeline = clock()
    for pts in (0, 40, 9000, 0):
        timeline.assign_pts(pts)
    queue = PassthroughQueue(timeline)
    with av.open(str(tmp_path / "any.mkv"), "w") as output:
        packet = Packet(b"data")
        packet.stream = output.add_stream("aac", rate=44100)
        packet.time_base, packet.dts, packet.pts = Fraction(1, 1000), 20, 20
        queue.add(packet, Fraction(20, 1000))
        (ready,) = queue.pop_ready()
    assert Fraction(ready.dts) * ready.time_base == Fraction(9060, 1000)
