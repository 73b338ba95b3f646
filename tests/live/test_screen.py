from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from streamcam.config import DrawOptions
from streamcam.flow import Flow
from streamcam.frames import planes_of
from streamcam.live.screen import Screen
from streamcam.live.shot import Shot
from streamcam.live.tally import Tally

from .shots import explained, frame, info, optic


class Taken:
    """Takes pictures and tells when so many have come."""

    def __init__(self) -> None:
        self.pictures: list[tuple[np.ndarray, int]] = []
        self._changed = threading.Condition()

    def offer(self, picture, pts) -> None:
        with self._changed:
            self.pictures.append((planes_of(picture)[0].copy(), pts))
            self._changed.notify_all()

    def wait(self, count: int) -> list[tuple[np.ndarray, int]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.pictures) >= count, 20)
            return list(self.pictures)


class Set:
    """A screen that runs, and what it shows."""

    def __init__(self, flow: Flow, max_age: float = 5.0) -> None:
        self.tally, self.taken = Tally(), Taken()
        self.screen = Screen(
            DrawOptions(caption=False, alpha=1.0),
            "frame",
            targets=1,
            max_age=max_age,
            tally=self.tally,
            takers=[self.taken],
            encode=lambda picture: bytes(picture.planes[0])[:8],
        )
        self.how, self.info = optic(), info()
        flow.alongside(self.screen.run, stop=self.screen.stop)

    def put(self, index: int, *, ago: float = 0.0, looked_at: bool = True) -> Shot:
        how = self.how if looked_at else None
        shot = Shot("a", self.info, frame(index, ago=ago, source=self.info), how, self.screen)
        self.screen.put(shot)
        return shot


@pytest.fixture
def stage() -> Iterator[Set]:
    with Flow() as flow:
        yield Set(flow)


def touched(luma: np.ndarray) -> bool:
    return bool((luma != 100).any())


def test_a_frame_is_shown_with_its_own_map(stage):
    shot = stage.put(0)
    shot.settle(explained(shot.frame))
    ((luma, pts),) = stage.taken.wait(1)
    assert pts == 0
    assert touched(luma[:24, :32])
    assert stage.screen.last[1].held is False
    assert (stage.tally.frames_shown, stage.tally.frames_explained, stage.tally.frames_dropped) == (1, 1, 0)


def test_a_frame_that_was_passed_by_shows_the_map_before(stage):
    first, second = stage.put(0), stage.put(1)
    second.settle(None)
    first.settle(explained(first.frame))
    pictures = stage.taken.wait(2)
    assert [pts for _, pts in pictures] == [0, 3600]
    assert all(touched(luma) for luma, _ in pictures)
    assert stage.screen.last[1].held is True


def test_without_a_model_the_picture_is_shown_untouched(stage):
    stage.put(0, looked_at=False).settle(None)
    ((luma, _),) = stage.taken.wait(1)
    assert not touched(luma)


def test_nobody_waits_for_a_model_that_hangs(stage):
    for index in range(3):
        stage.put(index)
    assert [pts for _, pts in stage.taken.wait(3)] == [0, 3600, 7200]
    assert stage.tally.ages.ages.max < 5000


def test_a_map_that_comes_late_is_used_for_later_frames_and_says_its_age(stage):
    late = stage.put(0, ago=1.0)
    stage.taken.wait(1)
    late.settle(explained(late.frame))
    stage.put(1).settle(None)
    (_, (luma, _)) = stage.taken.wait(2)
    assert touched(luma)
    assert "map 1.0 s old" in stage.screen.last[1].note


def test_a_map_of_a_later_frame_is_not_used_before_it(stage):
    first, second = stage.put(0), stage.put(1)
    second.settle(explained(second.frame))
    first.settle(None)
    pictures = stage.taken.wait(2)
    assert [touched(luma) for luma, _ in pictures] == [False, True]


def test_what_is_too_old_is_left_out_and_counted():
    with Flow() as flow:
        stage = Set(flow, max_age=0.5)
        stage.put(0, ago=2.0).settle(None)
        stage.put(1).settle(None)
        assert [pts for _, pts in stage.taken.wait(1)] == [3600]
        assert stage.tally.frames_dropped == 1


def test_another_resolution_begins_without_the_old_map(stage):
    shot = stage.put(0)
    shot.settle(explained(shot.frame))
    stage.taken.wait(1)
    stage.info = info(96, 64)
    stage.put(1).settle(None)
    (_, (luma, _)) = stage.taken.wait(2)
    assert luma.shape == (64, 96)
    assert not touched(luma)


def test_the_look_changes_at_once(stage):
    shot = stage.put(0)
    shot.settle(explained(shot.frame))
    stage.taken.wait(1)
    stage.screen.draw = DrawOptions(caption=False, alpha=0.0)
    stage.put(1).settle(None)
    (_, (luma, _)) = stage.taken.wait(2)
    assert not touched(luma)


def test_a_frozen_picture_takes_the_new_look(stage):
    shot = stage.put(0)
    shot.settle(explained(shot.frame))
    stage.taken.wait(1)
    rung = threading.Event()
    with stage.screen.jpegs.watched(rung.set):
        assert rung.wait(10)
        rung.clear()
        stage.screen.draw = DrawOptions(caption=False, alpha=0.0)
        assert rung.wait(10)
    assert not touched(planes_of(stage.screen.last[0])[0])


def test_what_becomes_too_old_while_it_is_drawn_is_not_shown():
    with Flow() as flow:
        stage = Set(flow, max_age=0.5)
        stage.screen._encode = lambda picture: time.sleep(0.6) or b"slow"
        with stage.screen.jpegs.watched(lambda: None):
            stage.put(0).settle(None)
            deadline = time.monotonic() + 20
            while not stage.tally.frames_dropped:
                assert time.monotonic() < deadline
        assert stage.taken.pictures == []


def test_pictures_are_encoded_for_watchers_only_and_the_last_one_for_who_comes_late(stage):
    stage.put(0).settle(None)
    stage.taken.wait(1)
    assert stage.screen.jpegs.newest == (0, b"")
    rung = threading.Event()
    with stage.screen.jpegs.watched(rung.set):
        assert rung.wait(10)
    assert stage.screen.jpegs.newest[0] == 1


def test_pictures_are_there_before_they_are_encoded_also_for_who_comes_late(stage):
    assert stage.screen.pictures.newest == (0, None)
    rung = threading.Event()
    with stage.screen.pictures.watched(rung.set):
        stage.put(1).settle(None)
        assert rung.wait(10)
    number, (picture, pts) = stage.screen.pictures.newest
    assert (number, pts, picture.width, picture.height) == (1, 3600, 64, 48)
    assert stage.screen.jpegs.newest == (0, b"")


def test_memory_is_bounded_where_nothing_is_shown():
    tally = Tally()
    screen = Screen(DrawOptions(), "frame", targets=1, max_age=60, tally=tally, encode=lambda picture: b"")
    how = optic()
    for index in range(200):
        screen.put(Shot("a", info(), frame(index), how, screen))
    assert tally.frames_dropped == 200 - 64


def test_it_ends_soon():
    began = time.monotonic()
    with Flow() as flow:
        Set(flow)
    assert time.monotonic() - began < 4
    assert flow.abandoned == ()
