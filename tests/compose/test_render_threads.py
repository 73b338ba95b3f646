"""Drawing in several threads: the frames of one thread, in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from av.video.frame import VideoFrame

from streamcam.compose import render_ahead, render_threads, renderer_count
from streamcam.concurrency.group import StageGroup, StageTimer
from streamcam.frames import ExplainedFrame, Frame
from tests.media_helpers import gradient_frame
from tests.sinks.sink_helpers import source_info

TIMEOUT = 60


def explained(count: int) -> Iterator[ExplainedFrame]:
    for index in range(count):
        yield ExplainedFrame(Frame(index, index, gradient_frame(32, 32, index)), ())


def test_all_threads_draw_at_once_and_frames_keep_their_order() -> None:
    together = threading.Barrier(4)
    threads: set[int] = set()

    def draw(item: ExplainedFrame) -> VideoFrame:
        if item.frame.index < 8:
            together.wait(TIMEOUT)  # breaks if fewer than four draw at this time
        threads.add(threading.get_ident())
        return item.frame.video_frame

    timer = StageTimer()
    with StageGroup() as group:
        drawn = list(render_ahead(explained(30), [draw] * 4, group, timer, depth=4))
    assert [item.frame.index for item, _ in drawn] == list(range(30))
    assert all(item.frame.video_frame is frame for item, frame in drawn)
    assert len(threads) == 4
    assert timer.seconds["draw"] > 0
    assert group.abandoned_threads == ()


@pytest.mark.parametrize("place", ["source", "draw"])
def test_an_error_reaches_the_caller_after_the_frames_before(place: str) -> None:
    def fail() -> Iterator[ExplainedFrame]:
        yield from explained(5)
        raise OSError("broken")

    def draw(item: ExplainedFrame) -> VideoFrame:
        if place == "draw" and item.frame.index == 5:
            raise OSError("broken")
        return item.frame.video_frame

    indices = []
    items = fail() if place == "source" else explained(20)
    with pytest.raises(OSError, match="broken"), StageGroup() as group:
        for item, _ in render_ahead(items, [draw, draw], group, StageTimer(), depth=2):
            indices.append(item.frame.index)
    assert indices == list(range(len(indices)))
    assert len(indices) <= 5
    assert group.abandoned_threads == ()


def test_threads_follow_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(cores: int, depth: int = 4, **info: Any) -> int:
        monkeypatch.setattr(render_threads, "cpu_count", lambda: cores)
        return renderer_count(replace(source_info(), **info), depth)

    assert [count(cores) for cores in (1, 2, 4, 8, 16, 64)] == [1, 1, 1, 2, 4, 4]
    assert count(16, depth=2) == 2
    assert count(16, depth=0) == 1
    assert count(16, on_gpu=True) == 1
