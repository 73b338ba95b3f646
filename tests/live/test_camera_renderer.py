from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from streamcam.compose import FrameRenderer
from streamcam.concurrency.group import StageGroup
from streamcam.geometry import fit_to_input
from streamcam.live.pending_frame import PendingFrame
from streamcam.live.pipeline import live_draw_options
from streamcam.live.renderer import CameraRenderer
from streamcam.live.stats import FrameStats
from streamcam.media.planes import plane_arrays
from streamcam.options import DrawOptions

from .live_fixtures import explain_frame, frame, info, model_binding


class RecordingConsumer:
    """Records frames."""

    def __init__(self) -> None:
        self.frames: list[tuple[np.ndarray, int]] = []
        self._changed = threading.Condition()

    def submit(self, frame, pts) -> None:
        with self._changed:
            self.frames.append((plane_arrays(frame)[0].copy(), pts))
            self._changed.notify_all()

    def wait(self, count: int) -> list[tuple[np.ndarray, int]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.frames) >= count, 20)
            return list(self.frames)


class RendererStage:
    """A running renderer, and the frames it shows."""

    def __init__(self, group: StageGroup, max_latency_seconds: float = 5.0) -> None:
        self.stats, self.consumer = FrameStats(), RecordingConsumer()
        self.renderer = CameraRenderer(
            DrawOptions(caption=False, alpha=1.0),
            "frame",
            num_targets=1,
            max_latency_seconds=max_latency_seconds,
            stats=self.stats,
            consumers=[self.consumer],
            encode_jpeg=lambda frame: bytes(frame.planes[0])[:8],
        )
        self.binding, self.info = model_binding(), info()
        group.spawn(self.renderer.run, stop=self.renderer.stop)

    def put(self, index: int, *, ago: float = 0.0, explain: bool = True) -> PendingFrame:
        binding = self.binding if explain else None
        pending = PendingFrame("a", self.info, frame(index, ago=ago, source=self.info), binding, self.renderer)
        self.renderer.put(pending)
        return pending


@pytest.fixture
def stage() -> Iterator[RendererStage]:
    with StageGroup() as group:
        yield RendererStage(group)


def is_drawn_on(luma: np.ndarray) -> bool:
    return bool((luma != 100).any())


def test_a_frame_is_shown_with_its_own_map(stage):
    pending = stage.put(0)
    pending.resolve(explain_frame(pending.frame))
    ((luma, pts),) = stage.consumer.wait(1)
    assert pts == 0
    assert is_drawn_on(luma[:24, :32])
    assert stage.renderer.last[1].held is False
    assert (stage.stats.frames_shown, stage.stats.frames_explained, stage.stats.frames_dropped) == (1, 1, 0)


def test_a_dropped_frame_shows_the_map_before(stage):
    first, second = stage.put(0), stage.put(1)
    second.resolve(None)
    first.resolve(explain_frame(first.frame))
    frames = stage.consumer.wait(2)
    assert [pts for _, pts in frames] == [0, 3600]
    assert all(is_drawn_on(luma) for luma, _ in frames)
    assert stage.renderer.last[1].held is True


def test_without_a_model_the_frame_is_shown_unchanged(stage):
    stage.put(0, explain=False).resolve(None)
    ((luma, _),) = stage.consumer.wait(1)
    assert not is_drawn_on(luma)


def test_frames_do_not_wait_for_a_model_that_hangs(stage):
    for index in range(3):
        stage.put(index)
    assert [pts for _, pts in stage.consumer.wait(3)] == [0, 3600, 7200]
    assert stage.stats.latencies.latency.max < 5000


def test_a_late_map_is_used_for_later_frames_and_captioned_with_its_lag(stage):
    late = stage.put(0, ago=1.0)
    stage.consumer.wait(1)
    late.resolve(explain_frame(late.frame))
    stage.put(1).resolve(None)
    (_, (luma, _)) = stage.consumer.wait(2)
    assert is_drawn_on(luma)
    assert "map 1.0 s old" in stage.renderer.last[1].caption_note


def test_a_late_map_is_shown_at_once_if_no_frame_follows(stage):
    """A camera of one frame a minute would show it a minute later."""
    late = stage.put(0)
    stage.consumer.wait(1)
    updated = threading.Event()
    with stage.renderer.frames.subscribe(updated.set):
        late.resolve(explain_frame(late.frame))
        assert updated.wait(60)
    assert is_drawn_on(plane_arrays(stage.renderer.last[0])[0])
    assert stage.renderer.last[1].held is False
    (plain, pts), (drawn, later_pts) = stage.consumer.wait(2)
    assert not is_drawn_on(plain)
    assert is_drawn_on(drawn)
    assert later_pts > pts


def test_a_map_of_a_later_frame_is_not_used_before_it(stage):
    first, second = stage.put(0), stage.put(1)
    second.resolve(explain_frame(second.frame))
    first.resolve(None)
    frames = stage.consumer.wait(2)
    assert [is_drawn_on(luma) for luma, _ in frames] == [False, True]


def test_old_frames_are_dropped_and_counted():
    with StageGroup() as group:
        stage = RendererStage(group, max_latency_seconds=0.5)
        stage.put(0, ago=2.0).resolve(None)
        stage.put(1).resolve(None)
        assert [pts for _, pts in stage.consumer.wait(1)] == [3600]
        assert stage.stats.frames_dropped == 1


def test_another_resolution_begins_without_the_old_map(stage):
    pending = stage.put(0)
    pending.resolve(explain_frame(pending.frame))
    stage.consumer.wait(1)
    stage.info = info(96, 64)
    stage.put(1).resolve(None)
    (_, (luma, _)) = stage.consumer.wait(2)
    assert luma.shape == (64, 96)
    assert not is_drawn_on(luma)


def test_draw_options_change_at_once(stage):
    pending = stage.put(0)
    pending.resolve(explain_frame(pending.frame))
    stage.consumer.wait(1)
    stage.renderer.draw = DrawOptions(caption=False, alpha=0.0)
    stage.put(1).resolve(None)
    (_, (luma, _)) = stage.consumer.wait(2)
    assert not is_drawn_on(luma)


@pytest.mark.slow
def test_a_paused_frame_takes_new_draw_options(stage):
    pending = stage.put(0)
    pending.resolve(explain_frame(pending.frame))
    stage.consumer.wait(1)
    updated = threading.Event()
    with stage.renderer.jpegs.subscribe(updated.set):
        assert updated.wait(10)
        updated.clear()
        stage.renderer.draw = DrawOptions(caption=False, alpha=0.0)
        assert updated.wait(10)
    assert not is_drawn_on(plane_arrays(stage.renderer.last[0])[0])


def test_a_frame_that_grows_old_during_drawing_is_not_shown():
    with StageGroup() as group:
        stage = RendererStage(group, max_latency_seconds=0.5)
        stage.renderer._encode_jpeg = lambda frame: time.sleep(0.6) or b"slow"
        with stage.renderer.jpegs.subscribe(lambda: None):
            stage.put(0).resolve(None)
            deadline = time.monotonic() + 20
            while not stage.stats.frames_dropped:
                assert time.monotonic() < deadline
        assert stage.consumer.frames == []


def test_frames_are_encoded_for_viewers_only_and_the_last_one_for_a_late_viewer(stage):
    stage.put(0).resolve(None)
    stage.consumer.wait(1)
    assert stage.renderer.jpegs.latest == (0, b"")
    updated = threading.Event()
    with stage.renderer.jpegs.subscribe(updated.set):
        assert updated.wait(10)
    assert stage.renderer.jpegs.latest[0] == 1


def test_a_late_viewer_gets_frames_before_they_are_encoded(stage):
    assert stage.renderer.frames.latest == (0, None)
    updated = threading.Event()
    with stage.renderer.frames.subscribe(updated.set):
        stage.put(1).resolve(None)
        assert updated.wait(10)
    number, (frame, pts) = stage.renderer.frames.latest
    assert (number, pts, frame.width, frame.height) == (1, 3600, 64, 48)
    assert stage.renderer.jpegs.latest == (0, b"")


def test_the_first_caption_has_no_latency_and_the_next_one_has(stage):
    captions = []
    for index in range(2):
        pending = stage.put(index)
        pending.resolve(explain_frame(pending.frame))
        stage.consumer.wait(index + 1)
        stage.renderer.drain()
        captions.append(stage.renderer.last[1].caption_note)
    assert captions[0] == ""
    assert captions[1].endswith(" ms")


def test_memory_is_bounded_while_no_frame_is_shown():
    stats = FrameStats()
    renderer = CameraRenderer(
        DrawOptions(), "frame", num_targets=1, max_latency_seconds=60, stats=stats, encode_jpeg=lambda frame: b""
    )
    binding = model_binding()
    for index in range(200):
        renderer.put(PendingFrame("a", info(), frame(index), binding, renderer))
    assert stats.frames_dropped == 200 - 64


def test_it_ends_soon():
    began = time.monotonic()
    with StageGroup() as group:
        RendererStage(group)
    assert time.monotonic() - began < 4
    assert group.abandoned_threads == ()


@pytest.mark.parametrize(("caption_size", "factor"), [(None, 1.4), (2.0, 2.0)])
def test_live_captions_are_large_enough_for_a_tile_and_stand_where_asked(caption_size, factor):
    """A phone shows a frame with about 220 lines: the usual second line would have 7 of them."""
    source = info(1280, 720)
    draw = DrawOptions(caption_position="bottom-right", caption_size=caption_size)
    renderer = CameraRenderer(
        live_draw_options(draw),
        "frame",
        num_targets=1,
        max_latency_seconds=60,
        stats=FrameStats(),
        encode_jpeg=lambda frame: b"",
    )
    binding = replace(model_binding(), geometry=fit_to_input("stretch", (1280, 720), (32, 32)))
    pending = PendingFrame("a", source, frame(0, source=source), binding, renderer)
    pending.resolve(explain_frame(pending.frame))
    renderer.on_resolved(pending)
    renderer._show(pending)
    drawn, item = renderer.last
    options = replace(draw, caption_size=factor)
    expected = FrameRenderer(options, source, binding.geometry, facts=binding.caption_facts).draw(item)
    for one, other in zip(plane_arrays(drawn), plane_arrays(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    corner = plane_arrays(drawn)[0][-100:, -400:]
    assert corner.min() < 60  # the plate
