from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.frames import Attribution, ExplainedFrame, Frame
from streamcam.geometry import Geometry, fit_to_input
from streamcam.temporal import interpolate_maps
from streamcam.temporal.change_detection import MAX_HOLD_FRAMES
from tests.media_helpers import planes

WIDTH, HEIGHT = 320, 192
GEOMETRY = Geometry((WIDTH, HEIGHT), (160, 96), (160, 96))


def texture(seed: int) -> Any:
    """Random squares of four sizes, the larger the stronger, as in photographs: uint8 ``(192, 640)``."""
    rng = np.random.default_rng(seed)
    layers = [side**0.5 * np.kron(rng.normal(size=(192 // side, 640 // side)), np.ones((side, side)))
              for side in (4, 8, 16, 32)]  # fmt: skip
    return np.clip(128 + 10 * sum(layers), 16, 235).astype(np.uint8)


SCENE = texture(0)


def frame(index: int, pts: int, shift: int = 0, scene: Any = SCENE) -> Frame:
    """A texture that has moved ``shift`` pixels to the right."""
    video_frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    luma, blue, red = planes(video_frame)
    luma[:] = scene[:, 200 - shift : 200 - shift + WIDTH]
    blue[:], red[:] = 128, 128
    return Frame(index, pts, video_frame)


def attribution(
    heatmap: Any, target: int | None = 7, score: float = 1.0, probability: float | None = 0.5
) -> Attribution:
    return Attribution(np.asarray(heatmap, np.float32), label=f"class {target}", score=score, class_index=target,
                    probability=probability)  # fmt: skip


def stream(by_index: dict[int, tuple[Attribution, ...]], frames: Iterable[Frame]) -> Iterator[ExplainedFrame]:
    """Frames as the engine gives them: explained at some indices, held at the others."""
    last: tuple[Attribution, ...] = ()
    for one in frames:
        last = by_index.get(one.index, last)
        yield ExplainedFrame(one, last, top=((1, 0.5),), held=one.index not in by_index)


def summarize(items: Iterable[ExplainedFrame]) -> list[tuple[Any, ...]]:
    return [
        (i.frame.pts, i.held, *((e.heatmap.tolist(), e.score, e.probability) for e in i.attributions)) for i in items
    ]


PTS = [0, 2, 3, 7, 10, 11, 15, 16]
A, B, C = ([[n, 10.0 * n], [-n, 0.0]] for n in (1.0, 3.0, 2.0))


def frames(shifts: Iterable[int] = (0,) * 8) -> list[Frame]:
    return [frame(n, pts, shift) for n, (pts, shift) in enumerate(zip(PTS, shifts, strict=True))]


def test_hold_passes_everything_on() -> None:
    items = list(stream({0: (attribution(A),), 4: (attribution(B),)}, frames()))
    assert list(interpolate_maps(items, "hold", GEOMETRY)) == items


def test_linear_is_the_mix_by_time() -> None:
    by_index = {0: (attribution(A, score=1, probability=0.2),), 4: (attribution(B, score=3, probability=0.6),)}
    out = list(interpolate_maps(stream(by_index, frames()), "linear", GEOMETRY))
    for item, pts in zip(out[:4], PTS, strict=False):
        w = pts / 10
        (one,) = item.attributions
        np.testing.assert_allclose(one.heatmap, (1 - w) * np.array(A) + w * np.array(B), rtol=1e-6)
        assert one.heatmap.dtype == np.float32
        assert one.score == pytest.approx(1 + 2 * w)
        assert one.probability == pytest.approx(0.2 + 0.4 * w)
    assert [item.held for item in out] == [n not in by_index for n in range(8)]
    assert [item.frame.index for item in out] == list(range(8))
    for item in out[4:]:  # nothing follows
        np.testing.assert_array_equal(item.attributions[0].heatmap, np.float32(B))


@pytest.mark.parametrize("how", ["linear", "flow"])
def test_classes_are_not_mixed_and_targets_are_separate(how: Any) -> None:
    """The first target changes its class, the second, a contrast, does not."""
    by_index = {
        0: (attribution(A, target=1), attribution(A, target=None, probability=None)),
        4: (attribution(B, target=2), attribution(B, target=None, probability=None)),
    }
    out = list(interpolate_maps(stream(by_index, frames()), how, GEOMETRY))
    for item, pts in zip(out[1:4], PTS[1:], strict=False):
        top, contrast = item.attributions
        assert (top.class_index, top.score, top.probability) == (1, 1.0, 0.5)
        np.testing.assert_array_equal(top.heatmap, np.float32(A))
        np.testing.assert_allclose(
            contrast.heatmap, (1 - pts / 10) * np.array(A) + pts / 10 * np.array(B), rtol=1e-5, atol=1e-5
        )
        assert contrast.probability is None


@pytest.mark.parametrize("how", ["linear", "flow"])
def test_nothing_is_mixed_across_a_cut(how: Any) -> None:
    other = texture(1)
    clip = [frame(n, pts, 0, SCENE if n < 4 else other) for n, pts in enumerate(PTS)]
    out = list(interpolate_maps(stream({0: (attribution(A),), 4: (attribution(B),)}, clip), how, GEOMETRY))
    for item in out[:4]:
        np.testing.assert_array_equal(item.attributions[0].heatmap, np.float32(A))


def blob(x: float, y: float, width: int, height: int, sigma: float) -> Any:
    rows, columns = np.indices((height, width)) + 0.5
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def centroid(heatmap: Any) -> tuple[float, float]:
    rows, columns = np.indices(heatmap.shape) + 0.5
    return float((columns * heatmap).sum() / heatmap.sum()), float((rows * heatmap).sum() / heatmap.sum())


@pytest.mark.parametrize(("cells", "sigma"), [((10, 6), 0.8), ((160, 96), 10.0)])
@pytest.mark.parametrize("mode", ["stretch", "letterbox", "crop"])
def test_flow_moves_the_map_with_the_image(mode: Any, cells: tuple[int, int], sigma: float) -> None:
    """The image moves 8 source pixels a frame; the maps have the object's position at both ends only."""
    size = {"stretch": (160, 96), "letterbox": (160, 128), "crop": (128, 96)}[mode]
    geometry = fit_to_input(mode, (WIDTH, HEIGHT), size)
    if mode != "stretch":
        cells = round(cells[0] * size[0] / 160), round(cells[1] * size[1] / 96)
    positions_per_pixel = geometry.scaled[0] / WIDTH * cells[0] / size[0]  # cells a source pixel
    start = cells[0] * 0.4
    clip = [frame(n, n, 8 * n) for n in range(6)]
    ends = {n: (attribution(blob(start + 8 * n * positions_per_pixel, cells[1] / 2, *cells, sigma)),) for n in (0, 5)}
    out = list(interpolate_maps(stream(ends, clip), "flow", geometry))
    for n, item in enumerate(out):
        x, y = centroid(item.attributions[0].heatmap)
        assert x == pytest.approx(start + 8 * n * positions_per_pixel, abs=0.3 * 8 * positions_per_pixel)
        assert y == pytest.approx(cells[1] / 2, abs=0.3 * 8 * positions_per_pixel)
        if sigma == 10:  # a mix without motion would be lower in the middle, where neither blob has its peak
            assert item.attributions[0].heatmap.max() > 0.9
    alone = list(interpolate_maps(stream({0: ends[0]}, clip), "flow", geometry))
    assert centroid(alone[5].attributions[0].heatmap)[0] == pytest.approx(
        start + 40 * positions_per_pixel, abs=8 * positions_per_pixel
    )


@pytest.mark.parametrize("how", ["linear", "flow"])
def test_few_frames_wait_and_nothing_jumps(how: Any) -> None:
    """The next explained frame is 40 frames away: the queue is bounded, and the map changes in small steps."""
    pulled = 0

    def count_frames() -> Iterator[Frame]:
        nonlocal pulled
        for n in range(41):
            pulled += 1
            yield frame(n, n)

    out = []
    for item in interpolate_maps(stream({0: (attribution(A),), 40: (attribution(B),)}, count_frames()), how, GEOMETRY):
        assert pulled - item.frame.index <= MAX_HOLD_FRAMES + 1
        out.append(float(item.attributions[0].heatmap[0, 0]))
    assert out[: 41 - MAX_HOLD_FRAMES - 1] == pytest.approx([1.0] * (40 - MAX_HOLD_FRAMES))
    assert np.diff(out[40 - MAX_HOLD_FRAMES - 1 :]) == pytest.approx(
        [2 / (MAX_HOLD_FRAMES + 1)] * (MAX_HOLD_FRAMES + 1), rel=1e-4
    )


@pytest.mark.parametrize("how", ["hold", "linear", "flow"])
def test_when_the_source_breaks_what_was_read_goes_on(how: Any) -> None:
    error = RuntimeError("broken")

    def broken_source() -> Iterator[ExplainedFrame]:
        yield from stream({0: (attribution(A),)}, frames())
        raise error

    out = []
    with pytest.raises(RuntimeError) as caught:
        out.extend(interpolate_maps(broken_source(), how, GEOMETRY))
    assert caught.value is error
    seen: list[int] = []
    with pytest.raises(RuntimeError):
        for item in interpolate_maps(broken_source(), how, GEOMETRY):
            seen.append(item.frame.index)  # noqa: PERF401
    assert seen == list(range(8))


def test_the_same_twice() -> None:
    by_index = {0: (attribution(A),), 4: (attribution(B),), 7: (attribution(C),)}
    clip = frames(range(0, 32, 4))
    one, two = (summarize(interpolate_maps(stream(by_index, clip), "flow", GEOMETRY)) for _ in range(2))
    assert one == two
