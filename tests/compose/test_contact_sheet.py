from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamcam.compose import write_contact_sheet
from streamcam.errors import SinkError
from streamcam.frames import ColorSpec
from streamcam.media.rgb import to_rgb


def solid_image(controller, size, codes, color):
    stage = controller(size, color=color)
    frame = stage.make_frame(lambda k, _: codes[k])
    frame.color_range, frame.colorspace = color.range, color.matrix
    return frame


@pytest.mark.parametrize(
    ("codes", "colour"),
    [
        ((63, 102, 240), ColorSpec(range=1, matrix=1)),
        ((81, 90, 240), ColorSpec(range=1, matrix=6)),
        ((76, 85, 255), ColorSpec(range=2, matrix=5)),
        ((81, 90, 240), ColorSpec()),
    ],
    ids=["709 limited", "601 limited", "601 full", "untagged"],
)
def test_red_is_red(stage_type, codes, colour):
    np.testing.assert_allclose(to_rgb(solid_image(stage_type, (64, 36), codes, colour))[18, 32], [255, 0, 0], atol=3)


def test_images_in_rows(stage_type, tmp_path):
    color = ColorSpec(range=1, matrix=6)
    red, green, blue = [(81, 90, 240), (145, 54, 34), (41, 240, 110)]
    frames = [solid_image(stage_type, (64, 36), codes, color) for codes in (red, green)]
    frames.append(solid_image(stage_type, (128, 72), blue, color))
    write_contact_sheet(frames, 2, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    height, width = sheet.shape[:2]
    assert height > 2 * 36
    assert width > 2 * 64
    for (x, y), expected in [((1, 1), (255, 0, 0)), ((3, 1), (0, 255, 0)), ((1, 3), (0, 0, 255))]:
        np.testing.assert_allclose(sheet[height * y // 4, width * x // 4], expected, atol=4)
    assert sheet[height * 3 // 4, width * 3 // 4].max() < 40


def test_a_place_that_cannot_be_written(stage_type, tmp_path):
    frame = solid_image(stage_type, (64, 36), (81, 90, 240), ColorSpec())
    with pytest.raises(SinkError, match="missing"):
        write_contact_sheet([frame], 1, tmp_path / "missing" / "sheet.png")
