"""Damaged files: what a file source still delivers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamcam.errors import SourceError
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    gradient_frame,
    planes,
    write_audio,
    write_clip,
)

from .reading import read


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_truncated_file_gives_what_was_good_and_says_so(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0)
    video_frames = [gradient_frame(160, 96, i) for i in range(100)]
    for frame in video_frames:
        planes(frame)[0][:] = noise.integers(20, 220, (96, 160))
    path = write_clip(
        tmp_path / f"c{suffix}", video_frames, muxer={"movflags": "faststart"} if suffix == ".mp4" else {}
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source, frames = read(path)
    assert 30 < len(frames) < 60
    assert any("ends early" in note for note in source.notes)


def test_flipped_bits_do_not_stop_the_reading(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "c.mkv", [gradient_frame(160, 96, i) for i in range(60)], codec="ffv1", options={"slicecrc": "1"}
    )
    data = bytearray(path.read_bytes())
    for position in np.random.default_rng(1).integers(len(data) // 4, 3 * len(data) // 4, 12):
        data[position] ^= 0xFF
    path.write_bytes(data)
    source, frames = read(path)
    assert len(frames) + source.skipped > 30
    assert len(frames) > 20
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))


def test_broken_packets_are_counted(tmp_path: Path) -> None:
    video_frames = [gradient_frame(160, 96, i) for i in range(20)]
    path = write_clip(tmp_path / "c.mov", video_frames, codec="png", pixel_format="rgb24")
    data = path.read_bytes()
    starts = [i for i in range(len(data)) if data[i : i + 4] == b"\x89PNG"]
    assert len(starts) == 20
    broken = bytearray(data)
    for start in (starts[5], starts[11]):
        broken[start : start + 8] = bytes(8)
    path.write_bytes(broken)
    source, frames = read(path)
    assert (len(frames), source.skipped) == (18, 2)


class TestRefusals:
    """One line each, and a different one for each cause."""

    def refuse(self, path: Path | str) -> str:
        with pytest.raises(SourceError) as caught:
            open_source(SourceOptions(url=str(path), timeout_seconds=0.5))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_missing_file_suggests_a_neighbour(self, clip: Path) -> None:
        assert "does not exist; did you mean 'clip.mp4'?" in self.refuse(clip.with_name("clipp.mp4"))

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "e.mp4").touch()
        assert "is empty (0 bytes)" in self.refuse(tmp_path / "e.mp4")

    def test_folder(self, tmp_path: Path) -> None:
        assert "is a folder" in self.refuse(tmp_path)

    @pytest.mark.parametrize("name", ["t.mp4", "t.txt", "t.nfo"])
    def test_text(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("These are words, not images.\n" * 40)
        assert "is not a video" in (message := self.refuse(tmp_path / name)) or "is a text file" in message

    def test_audio_only(self, tmp_path: Path) -> None:
        assert "has no video stream, only audio" in self.refuse(write_audio(tmp_path / "a.m4a"))

    def test_index_lost(self, clip: Path, tmp_path: Path) -> None:
        data = clip.read_bytes()
        (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
        assert "was cut short: its index" in self.refuse(tmp_path / "cut.mp4")

    def test_nothing_decodable(self, clip: Path, tmp_path: Path) -> None:
        data = bytearray(clip.read_bytes())
        start = data.index(b"mdat") + 4
        end = data.index(b"moov") - 4
        data[start:end] = bytes(np.random.default_rng(0).integers(0, 256, end - start, dtype=np.uint8))
        (tmp_path / "n.mp4").write_bytes(data)
        assert "can be decoded" in self.refuse(tmp_path / "n.mp4")

    def test_unknown_scheme(self) -> None:
        assert "unknown source gopher://" in self.refuse("gopher://host/clip.mp4")

    def test_unreachable_host_hides_credentials(self) -> None:
        message = self.refuse("http://anna:secret@127.0.0.1:9/clip.mp4?token=hidden")
        assert "cannot be reached" in message
        assert "secret" not in message
        assert "hidden" not in message
        assert "127.0.0.1:9/clip.mp4" in message
