"""Signed maps, several targets, and still images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamcam.compose import overlay_image
from streamcam.compose.upsample import LEVELS, MapUpsampler
from streamcam.frames import Attribution, ExplainedFrame, Frame
from streamcam.geometry import fit_to_input
from streamcam.options import DrawOptions

SIGNS = np.zeros((6, 8), np.float32)
SIGNS[1, 1], SIGNS[4, 6] = 1.0, -1.0
SIGNS = SIGNS.repeat(8, axis=0).repeat(8, axis=1)


def at(plane: np.ndarray, row: float, column: float) -> int:
    return int(plane[int(row * plane.shape[0]), int(column * plane.shape[1])])


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_evidence_for_is_red_and_evidence_against_is_blue(stage_type, planes, pixel_format):
    stage = stage_type(pixel_format=pixel_format)
    grey = 126 if pixel_format == "yuv420p" else 504
    middle = 128 if pixel_format == "yuv420p" else 512
    frame = stage.make_frame(lambda plane, _: middle if plane else grey)
    luma, blue, red = planes(stage.draw(frame, SIGNS, map_kind="signed", alpha=1))
    assert at(red, 1.5 / 6, 1.5 / 8) > middle * 1.3
    assert at(blue, 1.5 / 6, 1.5 / 8) < middle
    assert at(blue, 4.5 / 6, 6.5 / 8) > middle * 1.2
    assert at(red, 4.5 / 6, 6.5 / 8) < middle
    untouched = np.s_[: luma.shape[0] // 6, luma.shape[1] // 2 :]
    assert (luma[untouched] == grey).all()


def test_signed_evidence_is_drawn_alike_on_both_sides(stage_type, planes):
    stage = stage_type()
    frame = stage.make_frame(lambda plane, _: 128 if plane else 126)
    one = planes(stage.draw(frame, SIGNS, map_kind="signed"))
    other = planes(stage.draw(frame, -SIGNS, map_kind="signed"))
    changed = [np.abs(p[0] - 126) > 0 for p in (one, other)]
    # Rounding towards zero costs the negative side one level of 4095 at the rim.
    assert (changed[0] != changed[1]).mean() < 0.01
    for sign in (-1, 1):
        full, beyond = (planes(stage.draw(frame, np.full((6, 8), sign * n), map_kind="signed")) for n in (1, 9))
        for plane, clipped in zip(full, beyond, strict=True):
            np.testing.assert_array_equal(plane, clipped)


def test_the_neutral_colour_stands_for_nothing_where_the_map_is_alone(stage_type, planes):
    stage = stage_type()
    luma, blue, red = planes(stage.draw(stage.noise_frame(), SIGNS * 0, layout="heatmap", map_kind="signed"))
    assert np.ptp(luma) == 0
    assert abs(int(luma[0, 0]) - (16 + 219 * 247 / 255)) < 1.5
    assert abs(int(blue[0, 0]) - 128) <= 1
    assert abs(int(red[0, 0]) - 128) <= 1


def explain_frame(stage, frame, *heatmaps) -> ExplainedFrame:
    attribution = [
        Attribution(np.asarray(h, np.float32), f"class {n}", 1.0, 0.5, n, 1.0) for n, h in enumerate(heatmaps)
    ]
    return ExplainedFrame(Frame(0, 0, frame), tuple(attribution))


@pytest.mark.parametrize(
    ("targets", "layout", "across", "down"),
    [(1, "overlay", 1, 1), (2, "overlay", 2, 1), (3, "overlay", 2, 2), (2, "side-by-side", 2, 2), (5, "heatmap", 3, 2)],
)
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_each_target_has_a_panel(stage_type, planes, targets, layout, across, down, size):
    stage = stage_type(size=size)
    frame = stage.noise_frame()
    maps = [np.eye(6, 8) * (n + 1) / targets for n in range(targets)]
    renderer = stage.renderer(panels=targets, layout=layout)
    drawn = planes(renderer.draw(explain_frame(stage, frame, *maps)))[0]
    assert renderer.size == (64 * across, 48 * down)
    assert drawn.shape == (48 * down, 64 * across)
    panels = [drawn[48 * y : 48 * y + 48, 64 * x : 64 * x + 64] for y in range(down) for x in range(across)]
    first = layout == "side-by-side"
    if first:
        np.testing.assert_array_equal(panels[0][: size[1], : size[0]], planes(frame)[0])
    for n, heatmap in enumerate(maps):
        alone = planes(
            stage.renderer(layout="overlay" if first else layout).draw(explain_frame(stage, frame, heatmap))
        )[0]
        np.testing.assert_array_equal(panels[n + first], alone)
    for empty in panels[targets + first :]:
        assert (empty == 16).all()


@pytest.mark.parametrize("evidence", [0.0, 0.3, 0.8, 1.0, 7.0])
def test_an_overlay_on_a_still_equals_its_formula(evidence: float) -> None:
    """The same attribution everywhere: each pixel is image · (1 − o) + color · o, with o = alpha · smoothstep."""
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    before = image.copy()
    heatmap = np.full((3, 2), evidence, np.float32)
    geometry = fit_to_input("stretch", (7, 9), (32, 32))
    drawn = overlay_image(image, heatmap, geometry, DrawOptions(alpha=0.5, colormap="viridis"), vmax=1.0)
    np.testing.assert_array_equal(image, before)
    part = min(evidence, 1.0)
    opaque = 0.5 * part**2 * (3 - 2 * part)
    color = overlay_image(image, heatmap, geometry, DrawOptions(layout="heatmap", colormap="viridis"), vmax=1.0)
    assert np.ptp(color.astype(int), axis=(0, 1)).max() <= 1
    expected = image * (1 - opaque) + color * opaque
    np.testing.assert_allclose(drawn, expected, atol=0 if evidence == 0 else 1.0)
    beside = overlay_image(image, heatmap, geometry, DrawOptions(alpha=0.5, layout="side-by-side"), vmax=1.0)
    assert beside.shape == (9, 14, 3)
    np.testing.assert_array_equal(beside[:, :7], image)


@pytest.mark.parametrize("mode", ["stretch", "crop", "letterbox"])
def test_a_still_and_a_video_agree_where_the_evidence_is(stage_type, planes, mode) -> None:
    stage = stage_type(fit=mode)
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[2, 3] = 1
    grey = np.full((180, 320, 3), 126, np.uint8)
    options = DrawOptions(colormap="viridis", layout="heatmap")
    image = overlay_image(grey, heatmap, stage.geometry, options, vmax=1.0)[..., 1].astype(float)
    video = planes(replace(stage, fit=mode).draw(stage.noise_frame(), heatmap, layout="heatmap", colormap="viridis"))[0]
    centres = []
    for frame in (image, video.astype(float)):
        weight = frame - frame.min()
        rows, columns = np.indices(frame.shape) + 0.5
        centres.append(((rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()))
    np.testing.assert_allclose(*centres, atol=0.5)
    assert fit_to_input(mode, (320, 180), (224, 224)) == stage.geometry


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_of_a_small_share_of_attribution_is_seen(stage_type, planes, sign):
    """Most pixels of integrated gradients have a tenth of the largest attribution: near white would hide them."""
    stage = stage_type()
    grey = stage.make_frame(lambda plane, _: 128 if plane else 126)
    _, blue, red = planes(stage.draw(grey, np.full((20, 20), 0.1 * sign), map_kind="signed"))
    assert sign * (int(red[50, 50]) - int(blue[50, 50])) >= 5


def test_maps_of_pixels_alone_are_grey_as_in_the_literature(stage_type, planes):
    stage = stage_type()
    heatmap = np.full((20, 20), 0.5)
    luma, blue, red = planes(stage.draw(stage.noise_frame(), heatmap, layout="heatmap", map_kind="pixels"))
    assert int(luma[50, 50]) == pytest.approx(16 + 219 / 2, abs=1)
    assert (blue == 128).all()
    assert (red == 128).all()
    coloured = planes(stage.draw(stage.noise_frame(), heatmap, layout="heatmap", map_kind="pixels", colormap="turbo"))
    assert (coloured[1] != 128).any()


@pytest.mark.parametrize("size", [(3840, 2160), (640, 360), (96, 54)])
def test_single_pixels_of_a_map_make_no_confetti(stage_type, size):
    """Noise of single pixels is smoothed, or averaged, to what the frame can show: neighbours differ little."""
    noise = np.abs(np.random.default_rng(0).standard_normal((160, 288))).astype(np.float32)
    geometry = fit_to_input("stretch", size, (288, 160))
    levels = MapUpsampler(geometry, (288, 160), "pixels")(noise, float(noise.max()), 0).values.astype(float)
    raw = MapUpsampler(geometry, (288, 160), "heat")(noise, float(noise.max()), 0).values.astype(float)
    assert levels.mean() == pytest.approx(raw.mean(), rel=0.02)
    if size[0] > 2 * 96:
        assert levels.std() < raw.std() * 0.7
    else:  # a block shows the mean of its 36 pixels
        pixels = np.minimum(noise / noise.max(), 1) * (LEVELS - 1)
        assert levels.std() < pixels.std() / 36**0.5 * 1.2


def test_a_relief_is_grey_alone_and_its_size_over_a_frame(stage_type, planes):
    stage = stage_type()
    frame = stage.noise_frame()
    alone = {
        value: int(planes(stage.draw(frame, np.full((20, 20), value), layout="heatmap", map_kind="relief"))[0][50, 50])
        for value in (-1.0, 0.0, 1.0)
    }
    assert alone == {-1.0: 16, 0.0: pytest.approx(16 + 219 / 2, abs=1), 1.0: 235}
    checks = np.where(np.indices((60, 60)).sum(axis=0) % 2, 1.0, -1.0)
    for one, other in zip(
        planes(stage.draw(frame, checks, map_kind="relief")),
        planes(stage.draw(frame, np.ones((60, 60)), map_kind="pixels")),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
