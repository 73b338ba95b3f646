from __future__ import annotations

import threading
import time

import pytest

from streamcam.concurrency.group import Cancelled
from streamcam.live.scheduler import FairScheduler

from .live_fixtures import RecordingListener, batch_sizes, model_binding, pending_frame


def take_batch(scheduler: FairScheduler) -> list[tuple[str, int]]:
    return [(one.camera, one.frame.index) for one in scheduler.next_batch()]


def test_the_newest_frame_wins():
    scheduler, heard, binding = FairScheduler(1, 10), RecordingListener(), model_binding()
    for index in range(3):
        scheduler.submit(pending_frame("a", index, heard, binding=binding))
    assert heard.dropped_frames == [("a", 0), ("a", 1)]
    assert take_batch(scheduler) == [("a", 2)]


def test_cameras_take_turns():
    scheduler, heard, binding = FairScheduler(1, 10), RecordingListener(), model_binding()
    order = []
    for index in range(6):
        for camera in "abc":
            scheduler.submit(pending_frame(camera, index, heard, binding=binding))
        order += take_batch(scheduler)
    assert [camera for camera, _ in order] == list("abcabc")


def test_a_camera_that_delivers_ten_times_as_much_gets_no_more():
    scheduler, heard, binding = FairScheduler(1, 10), RecordingListener(), model_binding()
    order = []
    for index in range(8):
        for burst in range(10):
            scheduler.submit(pending_frame("busy", 10 * index + burst, heard, binding=binding))
        scheduler.submit(pending_frame("calm", index, heard, binding=binding))
        order += take_batch(scheduler)
    assert [camera for camera, _ in order].count("calm") == 4


def test_what_waits_goes_together_up_to_the_batch():
    scheduler, heard, binding = FairScheduler(1, 10), RecordingListener(), model_binding(batch_sizes(1, 2))
    for camera in "abc":
        scheduler.submit(pending_frame(camera, 0, heard, binding=binding))
    assert take_batch(scheduler) == [("a", 0), ("b", 0)]
    assert take_batch(scheduler) == [("c", 0)]


def test_only_frames_of_one_input_size_go_together():
    scheduler, heard = FairScheduler(1, 10), RecordingListener()
    for camera, binding in (("a", model_binding(batch_sizes(1, 4))), ("b", model_binding(batch_sizes(1, 4)))):
        scheduler.submit(pending_frame(camera, 0, heard, binding=binding))
    assert take_batch(scheduler) == [("a", 0)]
    assert take_batch(scheduler) == [("b", 0)]


def test_a_batch_that_would_take_too_long_is_not_made():
    slow = batch_sizes(1, 2)
    slow.record_time(2, 3.0)
    scheduler, heard, binding = FairScheduler(1, 10), RecordingListener(), model_binding(slow)
    for camera in "ab":
        scheduler.submit(pending_frame(camera, 0, heard, binding=binding))
    assert take_batch(scheduler) == [("a", 0)]


def test_what_is_too_old_is_passed_by():
    scheduler, heard, binding = FairScheduler(4, 0.5), RecordingListener(), model_binding()
    scheduler.submit(pending_frame("a", 0, heard, ago=1.0, binding=binding))
    scheduler.submit(pending_frame("a", 1, heard, binding=binding))
    assert take_batch(scheduler) == [("a", 1)]
    assert heard.dropped_frames == [("a", 0)]


def test_an_old_way_of_looking_ends_with_the_first_new_frame():
    scheduler, heard = FairScheduler(8, 10), RecordingListener()
    before, after = model_binding(), model_binding()
    for index, binding in enumerate((before, before, after)):
        scheduler.submit(pending_frame("a", index, heard, binding=binding))
    assert heard.dropped_frames == [("a", 0), ("a", 1)]
    assert take_batch(scheduler) == [("a", 2)]


def test_no_more_a_second_than_wished():
    scheduler, heard, binding = FairScheduler(1, 10, max_fps=20), RecordingListener(), model_binding()
    began = time.monotonic()
    for index in range(5):
        scheduler.submit(pending_frame("a", index, heard, binding=binding))
        assert take_batch(scheduler) == [("a", index)]
    assert time.monotonic() - began >= 4 / 20 * 0.99


def test_stop_releases_waiting_threads():
    scheduler, ended = FairScheduler(1, 10), threading.Event()

    def wait() -> None:
        with pytest.raises(Cancelled):
            scheduler.next_batch()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    scheduler.stop()
    assert ended.wait(10)
