from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.frames import Attribution, ExplainedFrame
from streamcam.options import TemporalOptions
from streamcam.temporal import Normalizer, normalize_maps, peak


def item(*peaks: float) -> ExplainedFrame:
    attribution = []
    for one in peaks:
        heatmap = np.full((2, 3), -1.0, np.float32)
        heatmap[0, 0] = one
        attribution.append(Attribution(heatmap, label="", score=1.0))
    return ExplainedFrame(frame=None, attributions=tuple(attribution))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("running", [0, 2, 2, 5, 5]), ("frame", [0, 2, 1, 5, 0]), (3.0, [3, 3, 3, 3, 3])],
)
def test_full_scale(scale: Any, expected: list[float]) -> None:
    out = list(normalize_maps([item(p) for p in (0, 2, 1, 5, -0.5)], TemporalOptions(scale=scale)))
    assert [e.attributions[0].vmax for e in out] == expected


def test_each_target_has_a_scale_of_its_own() -> None:
    out = list(normalize_maps([item(1, 7), item(3, 2)], TemporalOptions()))
    assert [[one.vmax for one in e.attributions] for e in out] == [[1, 7], [3, 7]]


@pytest.mark.parametrize("map_kind", ["pixels", "signed", "relief"])
def test_outliers_among_pixels_set_no_scale(map_kind: Any) -> None:
    heatmap = np.linspace(-1, 1, 10_000, dtype=np.float32).reshape(100, 100)
    expected = np.sort(np.abs(heatmap).ravel())[int(0.99 * 9_999)]
    assert peak(heatmap, map_kind) == pytest.approx(expected, rel=0.01)
    heatmap[0, :5] = 1e6
    assert peak(heatmap, map_kind) < 1.01
    assert peak(heatmap, "heat") == 1e6


@pytest.mark.parametrize("map_kind", ["heat", "pixels", "signed", "relief"])
def test_no_evidence_has_no_scale_and_a_single_pixel_has_one(map_kind: Any) -> None:
    heatmap = np.zeros((50, 50), np.float32)
    assert peak(heatmap, map_kind) == 0
    heatmap[3, 4] = 2.0
    # Smoothed over its neighbours, a pixel keeps 1 / 2π of its value.
    assert 0 < peak(heatmap, map_kind) <= (2.0 if map_kind == "heat" else 2.0 / 6.28)


def test_alternating_pixels_do_not_set_the_scale_of_a_region() -> None:
    """The gradient's sign alternates; what is drawn, and scaled, is what remains in a neighbourhood."""
    rows, columns = np.indices((60, 60))
    checks = np.where((rows + columns) % 2, 1.0, -1.0).astype(np.float32)
    checks[20:40, 20:40] += 0.5
    assert peak(checks, "signed") == pytest.approx(0.5, abs=0.05)


def test_the_largest_peak_of_an_endless_stream_fades() -> None:
    scale = Normalizer("running", half_life_seconds=10.0)
    assert [scale(item(p), seconds).attributions[0].vmax for p, seconds in ((8, 0), (1, 10), (1, 10), (1, 10))] == [
        8.0,
        4.0,
        2.0,
        1.0,
    ]


def test_a_stream_continues_with_the_peaks_before() -> None:
    """Parts of a stream, each with the peaks before it, are scaled as the whole."""
    items = [item(*peaks) for peaks in ((0, 3), (2, 1), (1, 4), (5, 0), (3, 9))]
    whole = [[one.vmax for one in e.attributions] for e in map(Normalizer("running"), items)]
    parts, peaks = list[list[float]](), tuple[float, ...]()
    for start, end in ((0, 2), (2, 3), (3, 5)):
        normalizer = Normalizer("running", running_peaks=peaks)
        parts += [[one.vmax for one in e.attributions] for e in map(normalizer, items[start:end])]
        peaks = normalizer.running_peaks
    assert (parts, peaks) == (whole, (5, 9))
