"""What the outputs of a silent camera show."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamcam.compose.placeholder import placeholder_frame
from streamcam.live import filler
from streamcam.live.filler import Filler
from tests.media_helpers import planes
from tests.sinks.output_helpers import solid_frame


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(("size", "color_range"), [((640, 360), 1), ((96, 64), 2), ((64, 640), 0)])
def test_placeholder_is_legible_text_on_black(size: tuple[int, int], color_range: int, pixel_format: str) -> None:
    like = solid_frame(*size, 81, 90, 240, pixel_format=pixel_format)
    like.color_range, like.colorspace = color_range, 1
    frame = placeholder_frame(like, "camera yard: no signal since 12:34:56")
    unit, (black, white) = 4 if pixel_format != "yuv420p" else 1, (0, 255) if color_range == 2 else (16, 235)
    luma, blue, red = planes(frame)
    assert (frame.width, frame.height, frame.format.name) == (*size, pixel_format)
    assert (int(frame.color_range), int(frame.colorspace)) == (color_range, 1)
    assert luma.min() == black * unit
    assert luma.max() > (black + 0.6 * (white - black)) * unit
    assert set(np.unique(blue)) == set(np.unique(red)) == {128 * unit}
    rows, columns = np.nonzero(luma > (black + 20) * unit)
    assert 0.3 * size[1] < rows.mean() < 0.7 * size[1]
    if min(size) > 300:
        assert 0.3 * size[0] < np.ptp(columns) < 0.95 * size[0]


def test_lost_camera_shows_since_when_and_a_slow_one_its_last_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def draw(like: Any, text: str) -> object:
        texts.append(text)
        return object()

    monkeypatch.setattr(filler, "placeholder_frame", draw)
    camera, last = SimpleNamespace(name="yard", state="live"), solid_frame(64, 64, 81, 90, 240)
    fill = Filler(camera)
    for state in ("live", "paused", "ended"):
        camera.state = state
        assert fill(last, 3) is last
    camera.state = "lost"
    shown = fill(last, 5)
    assert shown is fill(last, 6) is not last
    assert len(texts) == 1
    assert re.fullmatch(r"camera yard: no signal since \d\d:\d\d:\d\d", texts[0])
    assert fill(solid_frame(64, 64, 81, 90, 240), 5) is not shown
