"""GIF and animated WebP, opened again by another library."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from streamcam.errors import OptionError, SinkError
from streamcam.frames import ColorSpec
from tests.media_helpers import COLORS, color_patches, gradient_frame
from tests.sinks.sink_helpers import open_test_sink, source_info

SUFFIXES = (".gif", ".webp")
IRREGULAR = [0, 40, 100, 120, 400, 1000]


def durations(path: Path) -> list[int]:
    """The milliseconds of each frame."""
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            found.append(round(image.info["duration"]))
        return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_frame_has_its_exact_duration(tmp_path: Path, suffix: str) -> None:
    path, info = tmp_path / f"o{suffix}", source_info(time_base=Fraction(1, 1000))
    with open_test_sink(path, info) as sink:
        for index, pts in enumerate(IRREGULAR):
            sink.write(gradient_frame(96, 64, index), 5000 + pts)
    assert durations(path) == [*np.diff(IRREGULAR), 600]
    assert sink.num_frames == len(IRREGULAR)
    with Image.open(path) as image:
        assert image.size == (96, 64)
        assert image.info["loop"] == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("suffix", "step"), [(".gif", 10), (".webp", 1)])
@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24), Fraction(25)])
def test_times_do_not_drift(tmp_path: Path, suffix: str, step: int, rate: Fraction) -> None:
    path, info = tmp_path / f"o{suffix}", source_info(time_base=1 / rate)
    with open_test_sink(path, info) as sink:
        for index in range(31):
            sink.write(gradient_frame(96, 64, index), index)
    assert sum(durations(path)[:-1]) == pytest.approx(1000 * 30 / rate, abs=step / 2)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".gif", 12), (".webp", 12)])
@pytest.mark.parametrize("matrix", [1, 6])
def test_colours(tmp_path: Path, suffix: str, tolerance: int, matrix: int) -> None:
    path = tmp_path / f"o{suffix}"
    with open_test_sink(path, source_info(width=256, color=ColorSpec(1, matrix, 13, matrix))) as sink:
        for pts in range(2):
            sink.write(color_patches(matrix, False), pts)
    with Image.open(path) as image:
        shown = np.asarray(image.convert("RGB"), int)
    assert np.abs(shown[32, 16::32] - COLORS).max() <= tolerance


def test_frames_too_fast_for_browsers_are_left_out_and_counted(tmp_path: Path) -> None:
    path, info = tmp_path / "o.gif", source_info(time_base=Fraction(1, 100))
    with open_test_sink(path, info) as sink:
        for pts in range(20):
            sink.write(gradient_frame(96, 64, pts), pts)
    assert durations(path) == [20] * 10
    assert sink.notes == ["10 frames are omitted: .gif shows at most 50 a second"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_become_square(tmp_path: Path, suffix: str) -> None:
    with open_test_sink(tmp_path / f"o{suffix}", source_info(pixel_aspect=Fraction(3, 2))) as sink:
        sink.write(gradient_frame(96, 64), 0)
        sink.write(gradient_frame(96, 64), 1)
    with Image.open(tmp_path / f"o{suffix}") as image:
        assert image.size == (144, 64)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_keeps_the_frames_before_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"o{suffix}"
    with pytest.raises(RuntimeError, match="decoder"), open_test_sink(path) as sink:
        for pts in range(3):
            sink.write(gradient_frame(96, 64, pts), pts)
        raise RuntimeError("decoder")
    assert len(durations(path)) == 3


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "o.gif"
    with open_test_sink(path) as sink:
        path.write_bytes(b"mine")
        with pytest.raises(SinkError, match="exists already"):
            sink.write(gradient_frame(96, 64), 0)
    assert path.read_bytes() == b"mine"
    with open_test_sink(path, overwrite=True) as sink:
        sink.write(gradient_frame(96, 64), 0)
    assert path.read_bytes().startswith(b"GIF89a")


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    with open_test_sink(tmp_path / "o.gif"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_an_animation_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--crf cannot be used with \.gif"):
        open_test_sink(tmp_path / "o.gif", crf=20)
    with pytest.raises(SinkError, match=r"HDR, which \.webp cannot keep"):
        open_test_sink(tmp_path / "o.webp", source_info(pixel_format="yuv420p10le", color=ColorSpec(1, 9, 16, 9)))


def test_audio_is_dropped_with_a_note(tmp_path: Path) -> None:
    with av.open("sine=frequency=440", format="lavfi") as container:
        info = source_info(passthrough_streams=tuple(container.streams.audio))
        sink = open_test_sink(tmp_path / "o.gif", info)
    assert sink.notes == ["audio stream in pcm_s16le is dropped: .gif holds no other streams"]
