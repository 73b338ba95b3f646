from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamcam.compose.caption import CaptionBox, CaptionRenderer
from streamcam.frames import Attribution, CaptionFacts, ExplainedFrame, Frame
from streamcam.options import CAPTION_FIELDS, DrawOptions
from tests.compose.conftest import FACTS

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


def class_line(label: str, probability: float | None, score: float = 1.0, **more) -> ExplainedFrame:
    attribution = Attribution(np.zeros((1, 1), np.float32), label, score, probability, more.pop("class_index", 1))
    return ExplainedFrame(Frame(0, more.pop("pts", 0), None), (attribution,), **more)


def make_captions(info, size, facts=FACTS, **options) -> CaptionRenderer:
    return CaptionRenderer(DrawOptions(**options), info, size, facts)


def test_a_target_that_is_no_class_shows_its_score(stage_type):
    captions = make_captions(stage_type().info, (640, 360))
    plates = [
        captions.render(class_line("tabby − tiger cat", None, score)).blend_op.luma_keep
        for score in (2.31, -2.31, -0.5)
    ]
    assert len({plate.shape for plate in plates}) == 1
    assert not np.array_equal(plates[0], plates[1])
    assert captions.render(class_line("tabby − tiger cat", None, 2.309)).blend_op.luma_keep is plates[0]


def test_the_plate_keeps_its_width_while_the_percentage_changes(stage_type):
    stage = stage_type((1280, 720))
    captions = make_captions(stage.info, (1280, 720))
    widths = {
        captions.render(class_line("Egyptian cat, a cat of Egypt", p)).blend_op.luma_keep.shape
        for p in (0, 0.07, 0.5, 0.99)
    }
    assert len(widths) == 1


def test_different_words_are_different_plates(stage_type):
    captions = make_captions(stage_type().info, (320, 180))
    plates = [
        captions.render(class_line(*words)).blend_op.luma_keep for words in (("cat", 0.5), ("cat", 0.6), ("dog", 0.5))
    ]
    assert not np.array_equal(plates[0], plates[1])
    assert not np.array_equal(plates[0], plates[2])


def test_a_plate_is_made_once_and_forgotten_in_the_end(stage_type):
    captions = make_captions(stage_type().info, (320, 180))
    first = captions.render(class_line("cat", 0.501))
    assert captions.render(class_line("cat", 0.499)) is first
    for number in range(200):
        captions.render(class_line(f"class {number}", 0.5))
    assert captions.render(class_line("cat", 0.5)) is not first


def test_a_long_method_or_layer_fits(stage_type):
    captions = make_captions(stage_type().info, (320, 180), CaptionFacts("gradcam", "block_7/expand_" * 20))
    assert captions.render(class_line("cat", 0.5)).blend_op.luma_keep.shape[1] <= 320


@pytest.mark.parametrize("legend", [False, True])
@pytest.mark.parametrize("position", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_the_caption_stands_in_its_corner_and_the_legend_opposite(stage_type, planes, position, legend):
    stage = stage_type((640, 360))
    grey = stage.make_frame(lambda k, _: 120 if k == 0 else 128)
    item = stage.item(grey, ZEROS, 2.0)
    options = {"caption": True, "caption_position": position}
    luma = planes(stage.renderer(**options, legend=legend).draw(item))[0]
    corners = {"top-left": luma[:180, :320], "top-right": luma[:180, 320:]}
    corners |= {"bottom-left": luma[180:, :320], "bottom-right": luma[180:, 320:]}
    opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
    used = {position} | ({"-".join(opposite[part] for part in position.split("-"))} if legend else set())
    assert {name for name, corner in corners.items() if (corner != 120).any()} == used
    left, top, right, bottom = box(corners[position] != 120)
    margins = {"left": left, "right": 320 - right, "top": top, "bottom": 180 - bottom}
    assert all(0 < margins[side] <= 10 for side in position.split("-"))


def drawn_words(monkeypatch, item: ExplainedFrame, info, facts=FACTS, **options) -> list[str]:
    """The lines that a caption draws, from top to bottom."""
    lines: list[str] = []
    draw_line = CaptionRenderer._draw_line
    monkeypatch.setattr(
        CaptionRenderer, "_draw_line", lambda self, line, *rest: lines.append(line.text) or draw_line(self, line, *rest)
    )
    box = make_captions(info, (1280, 720), facts, **options).render(item)
    assert isinstance(box, CaptionBox)
    return lines


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["class 1  50 %", "gradcam · top_activation · 31 ms"]),
        ({"caption_fields": "class"}, ["class 1", "31 ms"]),
        ({"caption_fields": "probability,score"}, ["50 %  −1.50", "31 ms"]),
        ({"caption_fields": "time"}, ["1:01.50 · 31 ms"]),
        (
            {"caption_fields": ",".join(CAPTION_FIELDS)},
            ["class 1  50 %  −1.50", "target top · gradcam · top_activation · 1:01.50 · 31 ms"],
        ),
        ({"top_k": 3}, ["class 1  50 %", "class 2  30 %", "class 0  10 %", "gradcam · top_activation · 31 ms"]),
        ({"top_k": 2, "caption_fields": "class"}, ["class 1", "class 2  30 %", "31 ms"]),
    ],
)
def test_the_caption_shows_the_fields_asked_for(stage_type, monkeypatch, options, lines):
    item = class_line(
        "class 1", 0.5, -1.5, top=((1, 0.5), (2, 0.3), (0, 0.1)), caption_note="31 ms", pts=round(61.5 * 90000)
    )
    assert drawn_words(monkeypatch, item, stage_type().info, **options) == lines


def test_further_classes_are_those_of_the_model_also_beside_another_target(stage_type, monkeypatch):
    item = class_line("class 4", 0.01, class_index=4, top=((1, 0.5), (2, 0.3)))
    lines = drawn_words(monkeypatch, item, stage_type().info, top_k=2, caption_fields="class,probability")
    assert lines == ["class 4  1 %", "class 1  50 %", "class 2  30 %"]


def test_a_guessed_preprocessing_is_named_beside_the_method(stage_type, monkeypatch):
    facts = replace(FACTS, guess="none (guessed)")
    item = class_line("class 1", 0.5)
    lines = drawn_words(monkeypatch, item, stage_type().info, facts)
    assert lines == ["class 1  50 %", "gradcam · top_activation · preprocess none (guessed)"]


def test_a_low_frame_keeps_classes_before_method_and_layer(stage_type, monkeypatch):
    item = class_line("class 1", 0.5, top=((1, 0.5), (2, 0.3), (3, 0.1)))
    lines: list[str] = []
    draw_line = CaptionRenderer._draw_line
    monkeypatch.setattr(
        CaptionRenderer, "_draw_line", lambda self, line, *rest: lines.append(line.text) or draw_line(self, line, *rest)
    )
    make_captions(stage_type().info, (320, 80), top_k=3).render(item)
    assert lines == ["class 1  50 %", "class 2  30 %"]


def test_the_size_of_the_text(stage_type):
    heights = [
        make_captions(stage_type().info, (1280, 720), caption_size=size).render(class_line("cat", 0.5))
        for size in (None, 1.0, 2.0)
    ]
    usual, same, double = (one.blend_op.luma_keep.shape[0] for one in heights)
    assert usual == same
    assert double == pytest.approx(2 * usual, rel=0.05)


@pytest.mark.parametrize("map_kind", ["heat", "signed"])
def test_the_legend_shows_the_colours_from_end_to_end(stage_type, planes, map_kind):
    stage = stage_type((640, 360))
    grey = stage.make_frame(lambda k, _: 120 if k == 0 else 128)
    item = stage.item(grey, ZEROS, 2.0)
    drawn = planes(stage.renderer(legend=True, map_kind=map_kind, colormap="viridis").draw(item))
    ends = [
        planes(
            stage.renderer(layout="heatmap", map_kind=map_kind, colormap="viridis").draw(
                stage.item(grey, np.full((7, 7), value))
            )
        )
        for value in (-1.0 if map_kind == "signed" else 0.0, 1.0)
    ]
    line = np.stack([drawn[1][-12 // 2 - 3], drawn[2][-12 // 2 - 3]])
    coloured = np.flatnonzero((line != 128).any(axis=0))
    for column, end in zip((coloured[0], coloured[-1]), ends, strict=True):
        assert np.abs(line[:, column] - [end[1][0, 0], end[2][0, 0]]).max() <= 2
