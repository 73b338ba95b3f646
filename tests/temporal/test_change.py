from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.config import TimeOptions
from streamcam.frames import Frame
from streamcam.temporal import chosen
from streamcam.temporal.change import LONGEST, change, samples, unlike
from tests.media import planes

WIDTH, HEIGHT = 160, 96


def frame(index: int, luma: Any, blue: Any = 128, *, size: tuple[int, int] = (WIDTH, HEIGHT), deep: int = 1) -> Frame:
    picture = VideoFrame(*size, "yuv420p10le" if deep == 4 else "yuv420p")
    for plane, value in zip(planes(picture), (luma, blue, 128), strict=True):
        plane[:] = np.asarray(value) * deep
    return Frame(index, index, picture)


def texture(seed: int, low: int = 16, high: int = 236) -> Any:
    """Random squares of 8×8 pixels."""
    squares = np.random.default_rng(seed).integers(low, high, (HEIGHT // 8, WIDTH // 8))
    return np.kron(squares, np.ones((8, 8))).astype(np.uint8)


def looked_at(frames: list[Frame], bound: float = 0.14) -> list[int]:
    wanted = chosen(TimeOptions(every="auto", change=bound))
    return [one.index for one in frames if wanted(one)]


@pytest.mark.parametrize("deep", [1, 4])
@pytest.mark.parametrize("size", [(160, 96), (641, 363), (1920, 1080), (16, 16), (640, 18)])
def test_change_is_the_mean_difference_of_the_block_that_changed_most(size: tuple[int, int], deep: int) -> None:
    full = 255 if deep == 1 else 1023
    before, after = frame(0, 50, size=size, deep=deep), frame(1, 101, size=size, deep=deep)
    assert change(samples(before), samples(after)) == pytest.approx(51 * deep / full, rel=1e-5)
    assert change(samples(after), samples(after)) == 0
    assert change(samples(frame(0, 50, 100, size=size)), samples(frame(1, 50, 151, size=size))) == pytest.approx(0.2)


def test_a_small_thing_counts_where_it_is() -> None:
    """192×96 pixels are 8×4 blocks of 24×24, one of which changes."""
    luma = np.full((96, 192), 50)
    luma[24:48, 72:96] = 152
    still, moving = samples(frame(0, 50, size=(192, 96))), samples(frame(1, luma, size=(192, 96)))
    assert change(still, moving) == pytest.approx(0.4, rel=1e-5)
    assert np.abs(still[0] - moving[0]).mean() < 0.02


def test_a_still_clip_is_explained_once_in_the_longest_hold() -> None:
    luma = texture(0)
    assert looked_at([frame(n, luma) for n in range(3 * LONGEST)]) == [0, LONGEST, 2 * LONGEST]


@pytest.mark.parametrize("dark", [False, True])
def test_a_cut_is_explained_at_its_frame(dark: bool) -> None:
    """In the dark no block changes by the bound, but the two scenes have nothing in common."""
    a, b = (texture(seed, 16, 60 if dark else 236) for seed in (1, 2))
    frames = [frame(n, a if n < 5 else b) for n in range(12)]
    assert (change(samples(frames[4]), samples(frames[5])) < 0.14) == dark
    assert looked_at(frames) == [0, 5]


def test_a_cut_to_another_colour_is_seen() -> None:
    assert looked_at([frame(n, 100, 60 if n < 4 else 180) for n in range(8)]) == [0, 4]


def test_slow_changes_add_up() -> None:
    """3 of 255 a frame: 36 of them are more than 0.14, though no frame differs much from the one before."""
    step = 3
    frames = [frame(n, 40 + step * n) for n in range(16)]
    first = int(0.14 * 255 / step) + 1
    assert looked_at(frames) == [0, first]


def test_noise_alone_is_no_change() -> None:
    rng = np.random.default_rng(0)
    frames = [frame(n, 60 + rng.normal(0, 4, (HEIGHT, WIDTH)).round()) for n in range(LONGEST)]
    assert looked_at(frames) == [0]


def test_the_bound() -> None:
    frames = [frame(n, 50 + n) for n in range(5)]
    assert looked_at(frames, 0) == [0, 1, 2, 3, 4]
    assert looked_at([frame(n, 50) for n in range(5)], 0) == [0]
    assert looked_at([frame(n, texture(0) // 2 + 60 * (n % 2)) for n in range(LONGEST + 2)], 1) == [0, LONGEST]


def test_a_number_is_every_nth() -> None:
    wanted = chosen(TimeOptions(every=3))
    assert [n for n in range(8) if wanted(frame(n, 0))] == [0, 3, 6]


def test_unlike() -> None:
    here, there, brighter = (samples(frame(0, luma))[0] for luma in (texture(1), texture(2), texture(1) // 2 + 100))
    assert unlike(here, there)
    assert not unlike(here, brighter)
    grey, white = samples(frame(0, 100))[0], samples(frame(0, 200))[0]
    assert not unlike(grey, white)  # the bound sees to that
    assert unlike(grey, here)
