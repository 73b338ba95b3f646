from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from streamcam.compose.overlay import smoothstep
from streamcam.frames import ColorSpec

ONES = np.ones((7, 7))
ZEROS = np.zeros((7, 7))
CV_COLORMAPS = ("turbo", "jet", "viridis", "inferno", "magma")
FORMATS = ["yuv420p", "yuv420p10le"]
SIZES = [(320, 180), (853, 481), (101, 64), (64, 101), (2, 2)]
WEIGHTS = {1: (0.2126, 0.7152, 0.0722), 5: (0.299, 0.587, 0.114), 6: (0.299, 0.587, 0.114), 9: (0.2627, 0.678, 0.0593)}


def bump(x: float, y: float, map_size: int = 7, sigma: float = 0.17) -> np.ndarray:
    down, across = (np.mgrid[:map_size, :map_size] + 0.5) / map_size
    return np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))


def round_yuv(rgb: np.ndarray, matrix: int, full_range: bool, bits: int) -> np.ndarray:
    """Textbook R'G'B' to Y'CbCr code values, for colours (n, 3) of 0–1."""
    red, green, blue = WEIGHTS[matrix]
    luma = rgb @ [red, green, blue]
    cb = (rgb[:, 2] - luma) / (2 * (1 - blue))
    cr = (rgb[:, 0] - luma) / (2 * (1 - red))
    if full_range:
        top = 2**bits - 1
        return np.stack([luma * top, cb * top + 2 ** (bits - 1), cr * top + 2 ** (bits - 1)], axis=1)
    return np.stack([16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr], axis=1) * 2 ** (bits - 8)


def table(name: str) -> np.ndarray:
    ramp = np.arange(256, dtype=np.uint8)[None]
    return cv2.cvtColor(cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}")), cv2.COLOR_BGR2RGB)[0] / 255


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("heatmap", "full_scale", "options"),
    [(ZEROS, 1.0, {}), (ONES, 0.0, {}), (-ONES, 1.0, {}), (ONES, 1.0, {"alpha": 0})],
    ids=["no evidence", "no evidence yet", "negative evidence", "alpha 0"],
)
def test_nothing_to_draw_leaves_every_sample(stage_type, planes, size, pixel_format, heatmap, full_scale, options):
    stage = stage_type(size, pixel_format)
    frame = stage.noise_frame()
    drawn = stage.draw(frame, heatmap, full_scale, **options)
    assert (drawn.width, drawn.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    for before, after in zip(planes(frame), planes(drawn), strict=True):
        np.testing.assert_array_equal(after[: before.shape[0], : before.shape[1]], before)
        if after.shape[1] > before.shape[1]:
            np.testing.assert_array_equal(after[: before.shape[0], -1], before[:, -1])
        if after.shape[0] > before.shape[0]:
            np.testing.assert_array_equal(after[-1], after[-2])


def place(
    fit: str, extent: tuple[int, int], position: tuple[int, int], map_size: tuple[int, int]
) -> tuple[float, float]:
    """The center of a map's cell in the image, derived from the definition of each fit."""
    found = []
    for number, of, length in zip(position, map_size, extent, strict=True):
        part = (number + 0.5) / of
        if fit in ("crop", "letterbox"):
            side = min(extent) if fit == "crop" else max(extent)
            shown = round(224 * length / side)  # whole pixels of the model's input, in its middle
            part = (part * 224 - (224 - shown) // 2) / shown
        found.append(part * length)
    return found[0], found[1]


@pytest.mark.parametrize("cells", [7, 14, 112])
@pytest.mark.parametrize("size", [(640, 360), (360, 640), (641, 363)])
@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox", "native"])
def test_a_cell_is_drawn_where_the_model_saw_it(stage_type, planes, fit, size, cells):
    stage = stage_type(size, fit=fit)
    across, down = (cells * side // 224 for side in stage.geometry.input)
    for part in [(0.5, 0.5), (0.4, 0.6), (0.6, 0.4)]:
        # Two cells from the edge, so that what is drawn is symmetric.
        cell = np.clip(int(part[0] * across), 2, across - 3), np.clip(int(part[1] * down), 2, down - 3)
        heatmap = np.zeros((down, across))
        heatmap[cell[1], cell[0]] = 1
        grey = stage.make_frame(lambda k, _: 126 if k == 0 else 128)
        change = np.abs(planes(stage.draw(grey, heatmap, alpha=1))[0] - 126).astype(float)
        assert change.sum() > 0
        x = (change.sum(axis=0) @ (np.arange(change.shape[1]) + 0.5)) / change.sum()
        y = (change.sum(axis=1) @ (np.arange(change.shape[0]) + 0.5)) / change.sum()
        assert np.hypot(*np.subtract((x, y), place(fit, size, cell, (across, down)))) < 1


def test_what_was_cropped_away_is_untouched(stage_type, planes):
    stage = stage_type((320, 180), fit="crop")
    frame = stage.noise_frame()
    before, after = planes(frame)[0], planes(stage.draw(frame, ONES))[0]
    np.testing.assert_array_equal(after[:, :69], before[:, :69])
    np.testing.assert_array_equal(after[:, 251:], before[:, 251:])
    assert (after[:, 72:248] != before[:, 72:248]).mean() > 0.9


def test_far_from_the_evidence_nothing_changes(stage_type, planes):
    stage = stage_type((640, 360))
    heatmap = ZEROS.copy()
    heatmap[3, 1] = 5.0
    frame = stage.noise_frame()
    for before, after in zip(planes(frame), planes(stage.draw(frame, heatmap, 5.0)), strict=True):
        third = before.shape[1] * 3 // 7
        np.testing.assert_array_equal(after[:, third:], before[:, third:])
        assert (after[:, :third] != before[:, :third]).any()


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("name", CV_COLORMAPS)
def test_blend_equals_the_formula(stage_type, planes, name, matrix, full, pixel_format):
    stage = stage_type((64, 36), pixel_format, ColorSpec(range=2 if full else 1, matrix=matrix))
    bits = 10 if pixel_format.endswith("10le") else 8
    frame = stage.noise_frame()
    for entry in (3, 60, 128, 200, 255):
        attribution = entry / 255
        opaque = 0.7 * (3 * attribution**2 - 2 * attribution**3)
        color = round_yuv(table(name)[entry : entry + 1], matrix, full, bits)[0]
        drawn = planes(stage.draw(frame, ONES * attribution * 4, 4.0, alpha=0.7, colormap=name))
        for before, after, code in zip(planes(frame), drawn, color, strict=True):
            np.testing.assert_allclose(after, before + opaque * (code - before), atol=1, rtol=0)


@pytest.mark.parametrize(("size", "matrix"), [((720, 576), 5), ((640, 360), 5), ((1280, 720), 1), ((1080, 1920), 1)])
def test_unspecified_matrix_is_guessed_by_size(stage_type, planes, size, matrix):
    stage = stage_type(size, color=ColorSpec())
    drawn = planes(stage.draw(stage.noise_frame(), ONES, layout="heatmap", colormap="jet"))
    expected = round_yuv(table("jet")[255:], matrix, full_range=False, bits=8)[0]
    assert [plane[5, 5] for plane in drawn] == pytest.approx(expected, abs=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("colour_range", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("name", CV_COLORMAPS)
def test_colours_decode_to_those_of_the_map(stage_type, name, matrix, colour_range):
    stage = stage_type((32, 32), color=ColorSpec(range=colour_range, matrix=matrix))
    renderer, black = stage.renderer(layout="heatmap", colormap=name), stage.make_frame(lambda *_: 0)
    for entry in range(0, 256, 15):
        drawn = renderer.draw(stage.item(black, ONES * (entry / 255)))
        rgb = drawn.reformat(
            format="rgb24", src_colorspace=matrix, src_color_range=colour_range, dst_color_range=2
        ).to_ndarray()
        np.testing.assert_allclose(rgb[16, 16] / 255, table(name)[entry], atol=3 / 255)


def test_more_evidence_hides_more(stage_type, planes):
    stage = stage_type((32, 32))
    renderer = stage.renderer()
    dark, light = (stage.make_frame(lambda k, _, y=y: y if k == 0 else 128) for y in (40, 220))
    left = []
    for attribution in np.linspace(0, 1, 60):
        low, high = (planes(renderer.draw(stage.item(p, ONES * attribution)))[0][16, 16] for p in (dark, light))
        left.append(high - low)
    assert left[0] == 180
    assert left[-1] == pytest.approx(180 * 0.4, abs=1)
    assert (np.diff(left) <= 1).all()
    curve = smoothstep(np.linspace(0, 1, 1000))
    assert curve[0] == 0
    assert curve[-1] == 1
    assert (np.diff(curve) > 0).all()


def test_evidence_beyond_full_scale_is_full(stage_type, planes):
    stage = stage_type()
    frame = stage.noise_frame()
    for full, beyond in zip(planes(stage.draw(frame, ONES)), planes(stage.draw(frame, ONES * 50)), strict=True):
        np.testing.assert_array_equal(beyond, full)


@pytest.mark.parametrize(("pixel_format", "grey", "step"), [("yuv420p", 200, 4), ("yuv420p10le", 800, 16)])
def test_no_edges_and_no_bands(stage_type, planes, pixel_format, grey, step):
    stage = stage_type((1280, 720), pixel_format)
    flat = stage.make_frame(lambda k, _: grey if k == 0 else grey * 128 // 200)
    luma = planes(stage.draw(flat, bump(0.5, 0.5)))[0]
    assert np.abs(np.diff(luma, axis=1)).max() <= step
    assert np.abs(np.diff(luma, axis=0)).max() <= step


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("layout", ["overlay", "side-by-side", "heatmap"])
def test_the_source_frame_is_only_read(stage_type, planes, layout, pixel_format):
    stage = stage_type((101, 64), pixel_format)
    frame = stage.noise_frame()
    before = planes(frame)
    stage.draw(frame, bump(0.4, 0.4), layout=layout, caption=True)
    for old, new in zip(before, planes(frame), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (101, 63)])
def test_layouts(stage_type, planes, size):
    stage = stage_type(size)
    frame, heatmap = stage.noise_frame(), bump(0.3, 0.6)
    even = size[0] + size[0] % 2, size[1] + size[1] % 2
    overlay, beside, alone = (stage.draw(frame, heatmap, layout=k) for k in ("overlay", "side-by-side", "heatmap"))
    untouched = stage.draw(frame, ZEROS)
    assert [(p.width, p.height) for p in (overlay, beside, alone)] == [even, (2 * even[0], even[1]), even]
    for layout, drawn in zip(("overlay", "side-by-side", "heatmap"), (overlay, beside, alone), strict=True):
        assert stage.renderer(layout=layout).size == (drawn.width, drawn.height)
    for left, right, both in zip(planes(untouched), planes(overlay), planes(beside), strict=True):
        np.testing.assert_array_equal(both, np.concatenate([left, right], axis=1))
    another = stage.draw(stage.noise_frame(seed=2), heatmap, layout="heatmap")
    for first, second in zip(planes(alone), planes(another), strict=True):
        np.testing.assert_array_equal(first, second)


def test_heatmap_alone_shows_the_lowest_colour_before_any_evidence(stage_type, planes):
    stage = stage_type((64, 36))
    drawn = planes(stage.draw(stage.noise_frame(), ONES, 0.0, layout="heatmap"))
    expected = np.rint(round_yuv(table("turbo")[:1], 1, full_range=False, bits=8)[0])
    assert [np.unique(plane).tolist() for plane in drawn] == [[code] for code in expected]


def test_time_and_tags(stage_type):
    stage = stage_type(color=ColorSpec(range=2, primaries=9, transfer=16, matrix=9), pixel_format="yuv420p10le")
    drawn = stage.draw(stage.noise_frame(), ONES)
    assert (drawn.pts, drawn.time_base) == (12345, stage.info.time_base)
    tags = drawn.color_range, drawn.color_primaries, drawn.color_trc, drawn.colorspace
    assert [int(tag) for tag in tags] == [2, 9, 16, 9]
    assert drawn.format.name == "yuv420p10le"
    assert int(drawn.pict_type) == 0


def test_a_renderer_keeps_nothing_of_the_frame_before(stage_type, planes):
    stage = stage_type((320, 180))
    renderer, frame = stage.renderer(caption=True), stage.noise_frame()
    first = renderer.draw(stage.item(frame, bump(0.3, 0.3)))
    kept = planes(first)
    renderer.draw(stage.item(stage.noise_frame(seed=3), bump(0.7, 0.6, map_size=20), label="Egyptian cat"))
    again = renderer.draw(stage.item(frame, bump(0.3, 0.3)))
    for old, still, new in zip(kept, planes(first), planes(again), strict=True):
        np.testing.assert_array_equal(still, old)
        np.testing.assert_array_equal(new, old)


def test_importing_loads_no_library():
    code = "import sys, streamcam.compose; assert not {'cv2', 'av', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
