from __future__ import annotations

import numpy as np
import pytest

from streamcam.compose.caption import CaptionRenderer
from streamcam.frames import Attribution

ZEROS = np.zeros((7, 7))
LONG = "sulphur-crested cockatoo, Kakatoe galerita, Cacatua galerita " * 3


def box(changed: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("label", ["Samoyed", LONG, "日本語", "हिन्दी", "two\nlines", ""])
@pytest.mark.parametrize("size", [(64, 36), (320, 180), (853, 481), (360, 640), (3840, 2160)])
def test_a_plate_in_the_corner(stage_type, planes, size, label, pixel_format):
    stage = stage_type(size, pixel_format)
    grey = stage.make_frame(lambda k, _: 120 if k == 0 else 128)
    drawn = stage.renderer(caption=True).draw(stage.item(grey, ZEROS, 0.0, label=label))
    plain = stage.renderer(caption=False).draw(stage.item(grey, ZEROS, 0.0, label=label))
    luma, before = planes(drawn)[0], planes(plain)[0]
    assert (before == 120).all()
    left, top, right, bottom = box(luma != before)
    assert 0 < left <= size[0] * 0.05
    assert 0 < top <= size[1] * 0.1
    assert right < size[0]
    assert bottom < size[1] * 0.65
    white = 235 * (4 if pixel_format.endswith("10le") else 1)
    assert luma.max() == pytest.approx(white, rel=0.03)
    assert luma[(top + bottom) // 2, left + 1] < 120


def test_no_room_no_caption(stage_type, planes):
    for size in [(2, 2), (31, 200), (200, 31)]:
        stage = stage_type(size)
        frame = stage.noise_frame()
        np.testing.assert_array_equal(
            planes(stage.draw(frame, ZEROS, caption=True))[0], planes(stage.draw(frame, ZEROS, caption=False))[0]
        )
    smallest = stage_type((32, 32))
    assert (planes(smallest.draw(smallest.make_frame(lambda *_: 120), ZEROS, caption=True))[0] != 120).any()


def test_white_is_white_and_the_plate_grey(stage_type, planes):
    stage = stage_type((1280, 720))
    green = stage.make_frame(lambda k, _: (150, 60, 60)[k])
    drawn = planes(stage.draw(green, ZEROS, 0.0, caption=True))
    text = drawn[0][:720:2, :1280:2] > 230
    assert text.any()
    inner = text & np.roll(text, 1, 0) & np.roll(text, -1, 0) & np.roll(text, 1, 1) & np.roll(text, -1, 1)
    assert np.abs(drawn[1][inner] - 128).max() <= 3
    assert np.abs(drawn[2][inner] - 128).max() <= 3


def test_beside_the_original_the_caption_is_on_the_drawn_image(stage_type, planes):
    stage = stage_type((320, 180))
    grey = stage.make_frame(lambda k, _: 120 if k == 0 else 128)
    luma = planes(stage.draw(grey, ZEROS, 0.0, layout="side-by-side", caption=True))[0]
    assert (luma[:, :320] == 120).all()
    assert (luma[:, 320:] != 120).any()


def class_line(label: str, probability: float | None, score: float = 1.0) -> Attribution:
    return Attribution(np.zeros((1, 1), np.float32), label, score, probability)


def test_a_target_that_is_no_class_shows_its_score(stage_type):
    captions = CaptionRenderer(stage_type().info, (640, 360), "gradcam")
    plates = [
        captions.render(class_line("tabby − tiger cat", None, score)).blend_op.luma_keep
        for score in (2.31, -2.31, -0.5)
    ]
    assert len({plate.shape for plate in plates}) == 1
    assert not np.array_equal(plates[0], plates[1])
    assert captions.render(class_line("tabby − tiger cat", None, 2.309)).blend_op.luma_keep is plates[0]


def test_the_plate_keeps_its_width_while_the_percentage_changes(stage_type):
    stage = stage_type((1280, 720))
    captions = CaptionRenderer(stage.info, (1280, 720), "gradcam · top_activation")
    widths = {
        captions.render(class_line("Egyptian cat, a cat of Egypt", p)).blend_op.luma_keep.shape
        for p in (0, 0.07, 0.5, 0.99)
    }
    assert len(widths) == 1


def test_different_words_are_different_plates(stage_type):
    captions = CaptionRenderer(stage_type().info, (320, 180), "gradcam · top_activation")
    plates = [
        captions.render(class_line(*words)).blend_op.luma_keep for words in (("cat", 0.5), ("cat", 0.6), ("dog", 0.5))
    ]
    assert not np.array_equal(plates[0], plates[1])
    assert not np.array_equal(plates[0], plates[2])


def test_a_plate_is_made_once_and_forgotten_in_the_end(stage_type):
    captions = CaptionRenderer(stage_type().info, (320, 180), "gradcam")
    first = captions.render(class_line("cat", 0.501))
    assert captions.render(class_line("cat", 0.499)) is first
    for number in range(200):
        captions.render(class_line(f"class {number}", 0.5))
    assert captions.render(class_line("cat", 0.5)) is not first


def test_a_long_method_or_layer_fits(stage_type):
    captions = CaptionRenderer(stage_type().info, (320, 180), "gradcam · " + "block_7/expand_" * 20)
    assert captions.render(class_line("cat", 0.5)).blend_op.luma_keep.shape[1] <= 320
