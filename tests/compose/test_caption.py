from __future__ import annotations

import numpy as np
import pytest

from streamcam.compose.caption import Captions
from streamcam.frames import Evidence

ZEROS = np.zeros((7, 7))
LONG = "sulphur-crested cockatoo, Kakatoe galerita, Cacatua galerita " * 3


def box(changed: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("label", ["Samoyed", LONG, "日本語", "हिन्दी", "two\nlines", ""])
@pytest.mark.parametrize("size", [(64, 36), (320, 180), (853, 481), (360, 640), (3840, 2160)])
def test_a_plate_in_the_corner(studio, planes, size, label, pixel_format):
    stage = studio(size, pixel_format)
    grey = stage.picture(lambda k, _: 120 if k == 0 else 128)
    drawn = stage.painter(caption=True).draw(stage.item(grey, ZEROS, 0.0, label=label))
    plain = stage.painter(caption=False).draw(stage.item(grey, ZEROS, 0.0, label=label))
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


def test_no_room_no_caption(studio, planes):
    for size in [(2, 2), (31, 200), (200, 31)]:
        stage = studio(size)
        picture = stage.noise()
        np.testing.assert_array_equal(
            planes(stage.draw(picture, ZEROS, caption=True))[0], planes(stage.draw(picture, ZEROS, caption=False))[0]
        )
    smallest = studio((32, 32))
    assert (planes(smallest.draw(smallest.picture(lambda *_: 120), ZEROS, caption=True))[0] != 120).any()


def test_white_is_white_and_the_plate_grey(studio, planes):
    stage = studio((1280, 720))
    green = stage.picture(lambda k, _: (150, 60, 60)[k])
    drawn = planes(stage.draw(green, ZEROS, 0.0, caption=True))
    text = drawn[0][:720:2, :1280:2] > 230
    assert text.any()
    inner = text & np.roll(text, 1, 0) & np.roll(text, -1, 0) & np.roll(text, 1, 1) & np.roll(text, -1, 1)
    assert np.abs(drawn[1][inner] - 128).max() <= 3
    assert np.abs(drawn[2][inner] - 128).max() <= 3


def test_beside_the_original_the_caption_is_on_the_drawn_picture(studio, planes):
    stage = studio((320, 180))
    grey = stage.picture(lambda k, _: 120 if k == 0 else 128)
    luma = planes(stage.draw(grey, ZEROS, 0.0, layout="side-by-side", caption=True))[0]
    assert (luma[:, :320] == 120).all()
    assert (luma[:, 320:] != 120).any()


def seen(label: str, probability: float | None, score: float = 1.0) -> Evidence:
    return Evidence(np.zeros((1, 1), np.float32), label, score, probability)


def test_a_target_that_is_no_class_shows_its_score(studio):
    captions = Captions(studio().info, (640, 360), "gradcam")
    plates = [captions.plate(seen("tabby − tiger cat", None, score)).paint.luma_keep for score in (2.31, -2.31, -0.5)]
    assert len({plate.shape for plate in plates}) == 1
    assert not np.array_equal(plates[0], plates[1])
    assert captions.plate(seen("tabby − tiger cat", None, 2.309)).paint.luma_keep is plates[0]


def test_the_plate_keeps_its_width_while_the_percentage_changes(studio):
    stage = studio((1280, 720))
    captions = Captions(stage.info, (1280, 720), "gradcam · top_activation")
    widths = {
        captions.plate(seen("Egyptian cat, a cat of Egypt", p)).paint.luma_keep.shape for p in (0, 0.07, 0.5, 0.99)
    }
    assert len(widths) == 1


def test_different_words_are_different_plates(studio):
    captions = Captions(studio().info, (320, 180), "gradcam · top_activation")
    plates = [captions.plate(seen(*words)).paint.luma_keep for words in (("cat", 0.5), ("cat", 0.6), ("dog", 0.5))]
    assert not np.array_equal(plates[0], plates[1])
    assert not np.array_equal(plates[0], plates[2])


def test_a_plate_is_made_once_and_forgotten_in_the_end(studio):
    captions = Captions(studio().info, (320, 180), "gradcam")
    first = captions.plate(seen("cat", 0.501))
    assert captions.plate(seen("cat", 0.499)) is first
    for number in range(200):
        captions.plate(seen(f"class {number}", 0.5))
    assert captions.plate(seen("cat", 0.5)) is not first


def test_a_long_method_or_layer_fits(studio):
    captions = Captions(studio().info, (320, 180), "gradcam · " + "block_7/expand_" * 20)
    assert captions.plate(seen("cat", 0.5)).paint.luma_keep.shape[1] <= 320
