"""Single stages of a benchmark, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.bench.stages import STAGES
from streamcam.bench.worker import Case
from tests.media_helpers import gradient_frame, planes, write_clip, write_image


def odd_clip(folder: Path) -> Path:
    frames = [gradient_frame(161, 97, index).reformat(format="yuv444p") for index in range(4)]
    return write_clip(folder / "odd.mp4", frames, options={"qp": "0"})


def odd_image(folder: Path) -> Path:
    rows, columns = np.mgrid[:97, :161]
    rgb = np.stack([rows * 2, columns, rows + columns // 2], -1).astype(np.uint8)
    return write_image(folder / "odd.png", rgb, "png", "rgb24")


@pytest.mark.parametrize("make", [odd_clip, odd_image])
@pytest.mark.parametrize("stage", ["transcode", "encode_source"])
def test_odd_pictures_are_encoded_as_large_as_drawn_ones(
    tmp_path: Path, make: Callable[[Path], Path], stage: Any
) -> None:
    case = Case(stage=stage, clip=str(make(tmp_path)), frames=4, repeats=1, work_dir=str(tmp_path), options={"crf": 1})
    report = STAGES[stage](case)
    assert len(report["wall"]) == 1
    with av.open(str(tmp_path / f"{stage}.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 4
    luma = planes(frames[0])[0].astype(int)
    assert luma.shape == (98, 162)
    assert np.abs(luma[:, 161] - luma[:, 160]).max() < 6
    assert np.abs(luma[97] - luma[96]).max() < 6
