"""Files of a study of filters, opened again."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import streamcam
from streamcam.errors import OptionError, SinkError, UnknownFormatError
from streamcam.studies.filters.study import _history_steps

NOISE, MIDDLE, END = 30, 120, 220


def study(history_steps: tuple[int, ...] = (), num_filters: int = 3) -> streamcam.FilterStudy:
    """Filters whose images are flat: another level after each step."""

    def image(level: int, side: int = 16) -> Any:
        return np.full((side, side, 3), level, np.uint8)

    history = (image(NOISE, 8), image(MIDDLE), image(END))[: len(history_steps)]
    filters = tuple(
        streamcam.FilterImage(str(n), (n,), None, image(END), 0.1, 2.0, 5.0, 0.2, history=history)
        for n in range(num_filters)
    )
    return streamcam.FilterStudy(filters, "small", "conv", (16, 16), 8, 0, history_steps=history_steps)


def test_a_study_saves_its_sheet(tmp_path: Path) -> None:
    path = tmp_path / "one.jpg"
    study().save(path)
    with Image.open(path) as image:
        assert image.size == study().sheet().shape[1::-1]
    with pytest.raises(SinkError, match="exists"):
        study().save(path)
    with pytest.raises(UnknownFormatError, match="suffix"):
        study().save(tmp_path / "one.txt")


@pytest.mark.parametrize(("suffix", "num_filters"), [(".mp4", 3), (".mkv", 1)])
def test_a_video_shows_the_steps_and_ends_with_the_sheet(tmp_path: Path, suffix: str, num_filters: int) -> None:
    path = tmp_path / f"ascent{suffix}"
    grown = study((0, 4, 8), num_filters)
    grown.save(path)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    sheet = grown.sheet().astype(int)
    height, width = sheet.shape[:2]
    levels = [frame[height // 4, 80].mean() for frame in frames]
    assert np.abs(np.array(levels[:4]) - [NOISE, MIDDLE, END, END]).max() < 6
    assert len(frames) > 25  # the result stays for a while
    for frame in frames[-1], frames[-20]:
        assert np.abs(frame[:height, :width] - sheet).mean() < 3
    titles = [frame[4:20, :width] for frame in frames[:4]]
    assert all(np.abs(one - other).mean() > 1 for one, other in itertools.pairwise(titles))


def test_a_video_without_kept_steps_names_the_argument(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"kept none.*visualize_filters\(history=128\)"):
        study().save(tmp_path / "ascent.mp4")
    assert not list(tmp_path.iterdir())


def test_kept_steps_are_even_and_bounded() -> None:
    assert _history_steps(5, 8, 100) == (0, 2, 4, 6, 8)
    assert _history_steps(128, 3, 100) == (0, 1, 2, 3)
    assert _history_steps(128, 256, 128 << 20) == (0, 85, 171, 256)
    assert _history_steps(128, 256, 1 << 30) == (0, 256)
    assert _history_steps(0, 8, 100) == ()
