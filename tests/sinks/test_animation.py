"""GIF and animated WebP, opened again by another library."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
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


def noise_frame(seed: int) -> VideoFrame:
    """A frame that does not become small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8)
    return VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")


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
    assert sink.num_frames == 10


def test_one_omitted_frame_is_told_in_the_singular(tmp_path: Path) -> None:
    with open_test_sink(tmp_path / "o.gif", source_info(time_base=Fraction(1, 100))) as sink:
        for pts in (0, 1, 4):
            sink.write(gradient_frame(96, 64, pts), pts)
    assert sink.notes == ["1 frame is omitted: .gif shows at most 50 a second"]


@pytest.mark.parametrize(("suffix", "limit"), [(".gif", 655_350), (".webp", 2**24 - 1)])
@pytest.mark.parametrize("times", [[0, 18_000, 18_002], [0, 2, 18_002]])
def test_long_pauses_are_shortened(tmp_path: Path, suffix: str, limit: int, times: list[int]) -> None:
    path = tmp_path / f"o{suffix}"
    with open_test_sink(path, source_info(time_base=Fraction(1))) as sink:
        for index, pts in enumerate(times):
            sink.write(gradient_frame(96, 64, index), pts)
    # The last frame is shown as long as the one before.
    assert durations(path) == ([limit, 2000, 2000] if times[1] > 2 else [2000, limit, limit])
    assert sink.notes == [
        f"a pause of 18000 s is shortened to {limit / 1000:.0f} s, the longest that {suffix} can hold"
    ]


@pytest.mark.parametrize(("suffix", "limit"), [(".gif", 655_350), (".webp", 2**24 - 1)])
def test_a_last_frame_of_hours_is_shortened(tmp_path: Path, suffix: str, limit: int) -> None:
    path = tmp_path / f"o{suffix}"
    with open_test_sink(path, source_info(time_base=Fraction(1))) as sink:
        for index, pts in enumerate((0, 18_000)):
            frame = gradient_frame(96, 64, index)
            frame.duration = 20_000
            sink.write(frame, pts)
    assert durations(path) == [limit, limit]
    longest = f"2 pauses of up to 20000 s are shortened to {limit / 1000:.0f} s"
    assert sink.notes == [f"{longest}, the longest that {suffix} can hold"]


def test_equal_webp_frames_that_last_too_long_together(tmp_path: Path) -> None:
    path = tmp_path / "o.webp"
    with open_test_sink(path, source_info(time_base=Fraction(1))) as sink:
        sink.write(gradient_frame(96, 64, 1), 0)
        for pts, duration in ((2000, 2000), (4000, 16_000)):
            frame = gradient_frame(96, 64)
            frame.duration = duration
            sink.write(frame, pts)
    assert durations(path) == [2_000_000, 2**24 - 1]  # libwebp makes one of the last two


@pytest.fixture
def limit_file_size() -> Iterator[Callable[[int], None]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_is_told_with_what_is_left(
    tmp_path: Path, suffix: str, limit_file_size: Callable[[int], None]
) -> None:
    path = tmp_path / f"o{suffix}"
    sink = open_test_sink(path, source_info(time_base=Fraction(1, 10)))
    limit_file_size(100_000 if suffix == ".gif" else 2000)
    with pytest.raises(SinkError, match="no space left") as caught, sink:
        for pts in range(30):
            sink.write(noise_frame(pts), pts)
    if suffix == ".gif":
        left = len(durations(path))
        assert 1 < left == sink.num_frames < 30
        assert path.read_bytes().endswith(b"\0;")
        kept = f"its first {left} frames are kept"
    else:
        assert list(tmp_path.iterdir()) == []
        assert sink.num_frames == 0
        kept = "no frame is kept"
    assert str(caught.value) == f"no space left for {path}; {kept}; free some space"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_does_not_hide_the_first_error(
    tmp_path: Path, suffix: str, limit_file_size: Callable[[int], None]
) -> None:
    path = tmp_path / f"o{suffix}"
    with pytest.raises(RuntimeError, match="decoder"), open_test_sink(path) as sink:
        for pts in range(3):
            sink.write(noise_frame(pts), pts)
        limit_file_size(2000)
        raise RuntimeError("decoder")
    assert sink.num_frames == (len(durations(path)) if path.exists() else 0) < 3


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
