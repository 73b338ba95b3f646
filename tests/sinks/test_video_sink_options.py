"""Options of encoders, and outputs that are refused before anything is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from streamcam.errors import OptionError, SinkError
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import (
    frame_times,
    gradient_frame,
    packets_of,
    transcode,
)

from .sink_helpers import open_test_sink


class TestOptions:
    """Quality and speed: sent to the encoder, or refused in one line."""

    def test_crf_changes_the_size(self, clip: Path, tmp_path: Path) -> None:
        sizes = []
        for crf in (10, 45):
            transcode(clip, tmp_path / f"{crf}.mp4", crf=crf)
            sizes.append(sum(len(data) for _, data in packets_of(tmp_path / f"{crf}.mp4", "video")))
        assert sizes[0] > 1.5 * sizes[1]

    def test_unknown_preset(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"unknown --preset 'fastt' of h264.*did you mean 'fast'"):
            open_test_sink(tmp_path / "o.mp4", preset="fastt")
        with pytest.raises(OptionError, match="unknown --preset 'fast' of av1"):
            open_test_sink(tmp_path / "o.mp4", codec="av1", preset="fast")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, b"subme=1 mbtree=1 rc_lookahead=10 crf=20.0"),
            ({"preset": "superfast", "crf": 30}, b"subme=1 mbtree=1 rc_lookahead=10 crf=30.0"),
            ({"preset": "veryfast"}, b"subme=2 mbtree=1 rc_lookahead=10 crf=20.0"),
            ({"preset": "ultrafast"}, b"subme=0 mbtree=0 rc=crf crf=20.0"),
        ],
    )
    def test_what_x264_wrote_into_the_stream(
        self, clip: Path, tmp_path: Path, options: dict[str, Any], expected: bytes
    ) -> None:
        transcode(clip, tmp_path / "o.mp4", **options)
        data = (tmp_path / "o.mp4").read_bytes()
        assert all(b" %s " % part in data for part in expected.split()), data[data.index(b"options: ") :][:600]

    @pytest.mark.parametrize(("codec", "preset"), [("hevc", "ultrafast"), ("av1", "12"), ("vp9", "8"), ("vp9", "3")])
    def test_known_preset(self, clip: Path, tmp_path: Path, codec: str, preset: str) -> None:
        transcode(clip, tmp_path / "o.mp4", codec=codec, preset=preset)
        assert len(frame_times(tmp_path / "o.mp4")) == 50

    def test_quality_and_speed_of_a_lossless_codec(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="--crf 20 cannot be used with ffv1"):
            open_test_sink(tmp_path / "o.mkv", codec="ffv1", crf=20)
        with pytest.raises(OptionError, match="--preset 'fast' cannot be used with ffv1"):
            open_test_sink(tmp_path / "o.mkv", codec="ffv1", preset="fast")

    def test_crf_beyond_the_codec(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="invalid --crf 60 for h264; expected 0 to 51"):
            open_test_sink(tmp_path / "o.mp4", crf=60)

    def test_codec_that_does_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(SinkError, match=r"h264 does not go into \.webm; expected one of vp9, av1; or use \.mp4"):
            open_test_sink(tmp_path / "o.webm", codec="h264")


class TestPlaces:
    """What is wrong with an output is said before anything is done to it."""

    def test_existing_file_is_untouched(self, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").write_bytes(b"precious")
        with pytest.raises(SinkError, match="exists already; use --overwrite"):
            open_test_sink(tmp_path / "o.mp4")
        assert (tmp_path / "o.mp4").read_bytes() == b"precious"

    def test_overwriting_waits_for_the_first_frame(self, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").write_bytes(b"precious")
        with open_test_sink(tmp_path / "o.mp4", overwrite=True) as writer:
            assert writer.num_frames == 0
        assert (tmp_path / "o.mp4").read_bytes() == b"precious"
        with open_test_sink(tmp_path / "o.mp4", overwrite=True) as writer:
            writer.write(gradient_frame(96, 64), 0)
        assert len(frame_times(tmp_path / "o.mp4")) == 1

    def test_the_input_itself(self, clip: Path, tmp_path: Path) -> None:
        link = tmp_path / "link.mp4"
        link.symlink_to(clip)
        with open_source(SourceOptions(url=str(clip))) as reader, pytest.raises(SinkError, match="is the input itself"):
            open_test_sink(link, reader.info, overwrite=True)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SinkError, match="does not exist; create it first"):
            open_test_sink(tmp_path / "no" / "o.mp4")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that no user can write to")
    def test_unwritable_folder(self) -> None:
        with pytest.raises(SinkError, match="cannot be written to"):
            open_test_sink(Path("/proc/self/o.mp4"))

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_folder_without_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(SinkError, match="cannot be written to: Permission denied"):
            open_test_sink(tmp_path / "o.mp4")

    @pytest.mark.parametrize("name", ["o.avi", "o"])
    def test_unknown_suffix(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SinkError, match=r"expected one of \.mp4, \.mov, \.mkv, \.webm"):
            open_test_sink(tmp_path / name)

    def test_folder_as_output(self, tmp_path: Path) -> None:
        (tmp_path / "o.mp4").mkdir()
        with pytest.raises(SinkError, match="is a folder"):
            open_test_sink(tmp_path / "o.mp4")

    def test_frames_that_change_their_size(self, tmp_path: Path) -> None:
        with (
            pytest.raises(SinkError, match="frame 1 has 64x64; expected 96x64"),
            open_test_sink(tmp_path / "o.mp4") as writer,
        ):
            writer.write(gradient_frame(96, 64), 0)
            writer.write(gradient_frame(64, 64), 1)
        assert len(frame_times(tmp_path / "o.mp4")) == 1
