from __future__ import annotations

import threading
import time

import pytest

from streamcam.flow import Cancelled
from streamcam.live.desk import Desk

from .shots import Settled, kernels, optic, shot


def taken(desk: Desk) -> list[tuple[str, int]]:
    return [(one.camera, one.frame.index) for one in desk.take()]


def test_the_newest_frame_wins():
    desk, heard, how = Desk(1, 10), Settled(), optic()
    for index in range(3):
        desk.put(shot("a", index, heard, how=how))
    assert heard.passed == [("a", 0), ("a", 1)]
    assert taken(desk) == [("a", 2)]


def test_cameras_take_turns():
    desk, heard, how = Desk(1, 10), Settled(), optic()
    order = []
    for index in range(6):
        for camera in "abc":
            desk.put(shot(camera, index, heard, how=how))
        order += taken(desk)
    assert [camera for camera, _ in order] == list("abcabc")


def test_a_camera_that_delivers_ten_times_as_much_gets_no_more():
    desk, heard, how = Desk(1, 10), Settled(), optic()
    order = []
    for index in range(8):
        for burst in range(10):
            desk.put(shot("busy", 10 * index + burst, heard, how=how))
        desk.put(shot("calm", index, heard, how=how))
        order += taken(desk)
    assert [camera for camera, _ in order].count("calm") == 4


def test_what_waits_goes_together_up_to_the_batch():
    desk, heard, how = Desk(1, 10), Settled(), optic(kernels(1, 2))
    for camera in "abc":
        desk.put(shot(camera, 0, heard, how=how))
    assert taken(desk) == [("a", 0), ("b", 0)]
    assert taken(desk) == [("c", 0)]


def test_only_pictures_of_one_input_size_go_together():
    desk, heard = Desk(1, 10), Settled()
    for camera, how in (("a", optic(kernels(1, 4))), ("b", optic(kernels(1, 4)))):
        desk.put(shot(camera, 0, heard, how=how))
    assert taken(desk) == [("a", 0)]
    assert taken(desk) == [("b", 0)]


def test_a_batch_that_would_take_too_long_is_not_made():
    slow = kernels(1, 2)
    slow.took(2, 3.0)
    desk, heard, how = Desk(1, 10), Settled(), optic(slow)
    for camera in "ab":
        desk.put(shot(camera, 0, heard, how=how))
    assert taken(desk) == [("a", 0)]


def test_what_is_too_old_is_passed_by():
    desk, heard, how = Desk(4, 0.5), Settled(), optic()
    desk.put(shot("a", 0, heard, ago=1.0, how=how))
    desk.put(shot("a", 1, heard, how=how))
    assert taken(desk) == [("a", 1)]
    assert heard.passed == [("a", 0)]


def test_an_old_way_of_looking_ends_with_the_first_new_frame():
    desk, heard = Desk(8, 10), Settled()
    before, after = optic(), optic()
    for index, how in enumerate((before, before, after)):
        desk.put(shot("a", index, heard, how=how))
    assert heard.passed == [("a", 0), ("a", 1)]
    assert taken(desk) == [("a", 2)]


def test_no_more_a_second_than_wished():
    desk, heard, how = Desk(1, 10, fps=20), Settled(), optic()
    began = time.monotonic()
    for index in range(5):
        desk.put(shot("a", index, heard, how=how))
        assert taken(desk) == [("a", index)]
    assert time.monotonic() - began >= 4 / 20 * 0.99


def test_stop_releases_whoever_waits():
    desk, ended = Desk(1, 10), threading.Event()

    def wait() -> None:
        with pytest.raises(Cancelled):
            desk.take()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    desk.stop()
    assert ended.wait(10)
