from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.frames import Frame
from streamcam.options import TemporalOptions
from streamcam.temporal import frame_selector
from streamcam.temporal.change_detection import MAX_HOLD_FRAMES, is_cut, measure_change, thumbnail_planes
from tests.media_helpers import planes

WIDTH, HEIGHT = 160, 96


def frame(index: int, luma: Any, blue: Any = 128, *, size: tuple[int, int] = (WIDTH, HEIGHT), deep: int = 1) -> Frame:
    video_frame = VideoFrame(*size, "yuv420p10le" if deep == 4 else "yuv420p")
    for plane, value in zip(planes(video_frame), (luma, blue, 128), strict=True):
        plane[:] = np.asarray(value) * deep
    return Frame(index, index, video_frame)


def texture(seed: int, low: int = 16, high: int = 236) -> Any:
    """Random squares of 8×8 pixels."""
    squares = np.random.default_rng(seed).integers(low, high, (HEIGHT // 8, WIDTH // 8))
    return np.kron(squares, np.ones((8, 8))).astype(np.uint8)


def select_indices(frames: list[Frame], threshold: float = 0.14) -> list[int]:
    is_selected = frame_selector(TemporalOptions(every="auto", change_threshold=threshold))
    return [one.index for one in frames if is_selected(one)]


@pytest.mark.parametrize("deep", [1, 4])
@pytest.mark.parametrize("size", [(160, 96), (641, 363), (1920, 1080), (16, 16), (640, 18)])
def test_change_is_the_mean_difference_of_the_block_that_changed_most(size: tuple[int, int], deep: int) -> None:
    max_code = 255 if deep == 1 else 1023
    before, after = frame(0, 50, size=size, deep=deep), frame(1, 101, size=size, deep=deep)
    assert measure_change(thumbnail_planes(before), thumbnail_planes(after)) == pytest.approx(
        51 * deep / max_code, rel=1e-5
    )
    assert measure_change(thumbnail_planes(after), thumbnail_planes(after)) == 0
    assert measure_change(
        thumbnail_planes(frame(0, 50, 100, size=size)), thumbnail_planes(frame(1, 50, 151, size=size))
    ) == pytest.approx(0.2)


def test_a_small_thing_counts_where_it_is() -> None:
    """192×96 pixels are 8×4 blocks of 24×24, one of which changes."""
    luma = np.full((96, 192), 50)
    luma[24:48, 72:96] = 152
    still, moving = thumbnail_planes(frame(0, 50, size=(192, 96))), thumbnail_planes(frame(1, luma, size=(192, 96)))
    assert measure_change(still, moving) == pytest.approx(0.4, rel=1e-5)
    assert np.abs(still[0] - moving[0]).mean() < 0.02


def test_a_still_clip_is_explained_once_in_the_longest_hold() -> None:
    luma = texture(0)
    assert select_indices([frame(n, luma) for n in range(3 * MAX_HOLD_FRAMES)]) == [
        0,
        MAX_HOLD_FRAMES,
        2 * MAX_HOLD_FRAMES,
    ]


@pytest.mark.parametrize("dark", [False, True])
def test_a_cut_is_explained_at_its_frame(dark: bool) -> None:
    """In the dark no block changes by the bound, but the two scenes have nothing in common."""
    a, b = (texture(seed, 16, 60 if dark else 236) for seed in (1, 2))
    frames = [frame(n, a if n < 5 else b) for n in range(12)]
    assert (measure_change(thumbnail_planes(frames[4]), thumbnail_planes(frames[5])) < 0.14) == dark
    assert select_indices(frames) == [0, 5]


def test_a_cut_to_another_colour_is_seen() -> None:
    assert select_indices([frame(n, 100, 60 if n < 4 else 180) for n in range(8)]) == [0, 4]


def test_slow_changes_add_up() -> None:
    """3 of 255 a frame: 36 of them are more than 0.14, though no frame differs much from the one before."""
    step = 3
    frames = [frame(n, 40 + step * n) for n in range(16)]
    first = int(0.14 * 255 / step) + 1
    assert select_indices(frames) == [0, first]


def test_noise_alone_is_no_change() -> None:
    rng = np.random.default_rng(0)
    frames = [frame(n, 60 + rng.normal(0, 4, (HEIGHT, WIDTH)).round()) for n in range(MAX_HOLD_FRAMES)]
    assert select_indices(frames) == [0]


def test_the_bound() -> None:
    frames = [frame(n, 50 + n) for n in range(5)]
    assert select_indices(frames, 0) == [0, 1, 2, 3, 4]
    assert select_indices([frame(n, 50) for n in range(5)], 0) == [0]
    assert select_indices([frame(n, texture(0) // 2 + 60 * (n % 2)) for n in range(MAX_HOLD_FRAMES + 2)], 1) == [
        0,
        MAX_HOLD_FRAMES,
    ]


def test_a_number_is_every_nth() -> None:
    is_selected = frame_selector(TemporalOptions(every=3))
    assert [n for n in range(8) if is_selected(frame(n, 0))] == [0, 3, 6]


def test_unlike() -> None:
    here, there, brighter = (
        thumbnail_planes(frame(0, luma))[0] for luma in (texture(1), texture(2), texture(1) // 2 + 100)
    )
    assert is_cut(here, there)
    assert not is_cut(here, brighter)
    grey, white = thumbnail_planes(frame(0, 100))[0], thumbnail_planes(frame(0, 200))[0]
    assert not is_cut(grey, white)  # the bound sees to that
    assert is_cut(grey, here)
