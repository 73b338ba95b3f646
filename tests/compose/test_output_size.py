"""The size of the output, and the arrangement of panels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamcam.compose import drawn_info
from streamcam.compose.panels import arrange_panels
from streamcam.errors import OptionError
from streamcam.frames import ColorSpec
from streamcam.options import DrawOptions


@pytest.mark.parametrize(
    ("size", "source", "layout", "targets", "expected"),
    [
        ("1280x720", (1920, 1080), "overlay", 1, (1280, 720)),
        ("640x640", (1920, 1080), "overlay", 1, (640, 360)),
        ("641x361", (1920, 1080), "overlay", 1, (640, 360)),
        ("720p", (1920, 1080), "overlay", 1, (1280, 720)),
        ("720p", (1080, 1920), "overlay", 1, (720, 1280)),
        ("720p", (640, 360), "overlay", 1, (1280, 720)),
        ("50%", (1920, 1080), "overlay", 1, (960, 540)),
        ("33.3%", (853, 481), "overlay", 1, (284, 160)),
        ("1280x720", (1920, 1080), "side-by-side", 1, (1280, 360)),
        ("720p", (1920, 1080), "side-by-side", 1, (2560, 720)),
        ("1280x720", (1920, 1080), "overlay", 2, (640, 720)),
        ("1280x720", (1920, 1080), "overlay", 4, (1280, 720)),
        ("16x16", (8000, 20), "overlay", 1, (16, 2)),
        (None, (853, 481), "overlay", 1, (854, 482)),
    ],
)
def test_the_output_has_the_size_asked_for(stage_type, size, source, layout, targets, expected):
    stage = stage_type(source)
    assert stage.renderer(size=size, layout=layout, panels=targets).size == expected


@pytest.mark.parametrize(
    "size", ["720", "720P", "1280*720", "0x100", "8x8", "99999x20", "500%", "0%", "half", "x", "p", 720]
)
def test_another_size_is_refused(size):
    with pytest.raises(OptionError, match=r"invalid --size .*; expected WxH"):
        DrawOptions(size=size)


@pytest.mark.parametrize(
    ("source", "targets", "columns"),
    [
        ((640, 360), 2, 1),
        ((640, 480), 2, 2),
        ((360, 640), 2, 2),
        ((360, 640), 3, 3),
        ((640, 360), 3, 2),
        ((640, 360), 4, 2),
        ((2560, 720), 3, 1),
    ],
)
def test_panels_are_as_large_as_a_screen_allows(stage_type, source, targets, columns):
    assert arrange_panels(DrawOptions(), stage_type(source).info, targets).columns == columns


def test_beside_the_original_means_beside(stage_type):
    panels = arrange_panels(DrawOptions(layout="side-by-side"), stage_type((640, 360)).info, 1)
    assert (panels.columns, panels.rows) == (2, 1)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size", ["320x180", "200%"])
def test_heatmap_and_text_are_drawn_at_the_size_of_the_output(stage_type, planes, size, pixel_format):
    """Scaling changes no even frame, so what remains is what a source of that size would show."""
    large = stage_type((640, 360), pixel_format)
    factor = 4 if pixel_format.endswith("10le") else 1
    heatmap = np.eye(7)
    drawn = large.renderer(size=size, caption=True, legend=True)
    native = stage_type(drawn.size, pixel_format)
    frames = [one.make_frame(lambda k, _: (120 if k == 0 else 128) * factor) for one in (large, native)]
    scaled = planes(drawn.draw(large.item(frames[0], heatmap)))
    expected = planes(native.renderer(caption=True, legend=True).draw(native.item(frames[1], heatmap)))
    for one, other in zip(scaled, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_scaled_frame_keeps_its_place_and_its_colours(stage_type, planes):
    stage = stage_type((640, 360))
    frame = stage.make_frame(lambda k, shape: np.indices(shape)[1] * 255 // shape[1])
    drawn = planes(stage.renderer(size="50%").draw(stage.item(frame, np.zeros((7, 7)))))
    for plane in drawn:
        expected = (np.arange(plane.shape[1]) + 0.5) * 255 / plane.shape[1]
        np.testing.assert_allclose(plane[5, 4:-4], expected[4:-4], atol=2)


def test_a_matrix_that_follows_from_the_size_gets_a_tag(stage_type):
    untagged = replace(stage_type((1920, 1080)).info, color=ColorSpec())
    assert drawn_info(DrawOptions(size="360p"), untagged, 1).color.matrix == 1
    assert drawn_info(DrawOptions(size="720p"), untagged, 1).color.matrix == 2
    assert drawn_info(DrawOptions(), untagged, 1) is untagged
    stage = stage_type((1920, 1080), color=ColorSpec())
    drawn = stage.renderer(size="360p").draw(stage.item(stage.noise_frame(), np.zeros((7, 7))))
    assert int(drawn.colorspace) == 1
