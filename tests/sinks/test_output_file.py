"""The name of an output belongs to one run, from its first frame to its end."""

from __future__ import annotations

import os
import shutil
import stat
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.errors import SinkError
from streamcam.options import SourceOptions
from streamcam.sources import open_source
from tests.media_helpers import encode_tone, frame_times, gradient_frame, packets_of, transcode

from .sink_helpers import open_test_sink, source_info

SUFFIXES = [".mp4", ".mkv", ".png"]


def write(sink: Any, count: int = 1, first: int = 0) -> None:
    for index in range(first, first + count):
        sink.write(gradient_frame(96, 64, index), index)


def open_sink_for(path: Path, **options: Any) -> Any:
    return open_test_sink(path, source_info(num_frames=1) if path.suffix == ".png" else None, **options)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_appears_after_the_check_is_not_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"o{suffix}"
    with pytest.raises(SinkError, match="exists already; use --overwrite"), open_sink_for(path) as sink:
        path.write_bytes(b"precious")
        write(sink)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_of_two_runs_the_first_to_write_keeps_the_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"o{suffix}"
    with open_test_sink(path) as first:
        with pytest.raises(SinkError, match="exists already"), open_test_sink(path) as second:
            write(first, 5)
            write(second)
        write(first, 5, first=5)
    assert len(frame_times(path)) == 10


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_overwriting_a_file_that_another_run_writes_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"o{suffix}"
    path.write_bytes(b"old")
    early = open_test_sink(path, overwrite=True)
    with open_test_sink(path, overwrite=True) as first:
        write(first, 5)
        with pytest.raises(SinkError, match="is being written by another run"):
            open_test_sink(path, overwrite=True)
        with pytest.raises(SinkError, match="is being written by another run"), early:
            write(early)
        write(first, 5, first=5)
    assert len(frame_times(path)) == 10
    with open_test_sink(path, overwrite=True) as again:
        write(again, 2)
    assert len(frame_times(path)) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_is_gone_at_the_end_is_an_error(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    gone = pytest.raises(SinkError, match="was removed or replaced by another program")
    with gone, open_test_sink(folder / f"o{suffix}") as sink:
        write(sink, 5)
        shutil.rmtree(folder)
    assert not folder.exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_took_the_name_meanwhile_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"o{suffix}"
    with pytest.raises(SinkError, match="was removed or replaced by another program"), open_test_sink(path) as sink:
        write(sink, 5)
        path.unlink()
        path.write_bytes(b"precious")
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_of_the_block_goes_before_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    with pytest.raises(ZeroDivisionError), open_test_sink(path) as sink:
        write(sink)
        path.unlink()
        raise ZeroDivisionError


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_symbolic_links_are_followed_and_stay(tmp_path: Path, suffix: str) -> None:
    target, link = tmp_path / f"there{suffix}", tmp_path / f"o{suffix}"
    link.symlink_to(target)
    for options in ({}, {"overwrite": True}):
        with open_sink_for(link, **options) as sink:
            write(sink)
        assert link.is_symlink()
        with av.open(str(target)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 1
    assert sorted(tmp_path.iterdir()) == sorted([link, target])


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".gif"])
def test_permissions_are_those_of_the_file_that_is_replaced_or_of_a_new_one(tmp_path: Path, suffix: str) -> None:
    old, new, plain = tmp_path / f"old{suffix}", tmp_path / f"new{suffix}", tmp_path / "plain"
    old.write_bytes(b"old")
    old.chmod(0o640)
    plain.touch()
    for path in (old, new):
        with open_sink_for(path, overwrite=True) as sink:
            write(sink)
    assert old.stat().st_size > 3
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert new.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_a_link_beside_the_output_is_not_written_through(tmp_path: Path, suffix: str) -> None:
    path, victim = tmp_path / f"o{suffix}", tmp_path / "victim"
    path.write_bytes(b"old")
    victim.write_bytes(b"precious")
    (tmp_path / f".streamcam-{os.getpid()}-{path.stat().st_ino}").symlink_to(victim)
    with open_sink_for(path, overwrite=True) as sink:
        write(sink)
    assert victim.read_bytes() == b"precious"
    assert path.stat().st_size > 3


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.mkv"
    os.mkfifo(path)
    with pytest.raises(SinkError, match="is a device or a pipe; expected a file name"):
        open_test_sink(path, overwrite=True)


def test_an_encoder_that_does_not_open_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("streamcam.sinks.encoder_settings.configure_video", fail)
    (tmp_path / "old.mp4").write_bytes(b"precious")
    for name in ("new.mp4", "old.mp4"):
        with (
            pytest.raises(SinkError, match="no frame is kept"),
            open_test_sink(tmp_path / name, overwrite=True) as sink,
        ):
            write(sink)
    assert [path.name for path in tmp_path.iterdir()] == ["old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"precious"


class TestTimes:
    """Times that a container cannot hold."""

    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
    def test_frames_before_zero_all_play_and_sound_moves_with_them(self, tmp_path: Path, suffix: str) -> None:
        about = source_info(time_base=Fraction(1, 1000))
        path = tmp_path / f"o{suffix}"
        with open_test_sink(path, about) as sink:
            for index in range(12):
                sink.write(gradient_frame(96, 64, index), 40 * index - 200)
        assert frame_times(path) == [Fraction(40 * index, 1000) for index in range(12)]
        assert sink.notes == ["frames began before time 0: all streams are moved to begin at 0"]

    def test_sound_moves_with_frames_that_begin_before_zero(self, clip: Path, tmp_path: Path) -> None:
        with (
            open_source(SourceOptions(url=str(clip))) as reader,
            open_test_sink(tmp_path / "o.mp4", reader.info) as sink,
        ):
            shift = round(Fraction(1, 5) / reader.info.time_base)
            for frame in reader:
                for packet in frame.passthrough_packets:
                    packet.dts -= round(Fraction(1, 5) / packet.time_base)
                    packet.pts -= round(Fraction(1, 5) / packet.time_base)
                sink.write(frame.video_frame, frame.pts - shift, frame.passthrough_packets)
        assert frame_times(tmp_path / "o.mp4") == frame_times(clip)
        before, after = packets_of(clip, "audio"), packets_of(tmp_path / "o.mp4", "audio")
        assert len(after) > 50
        assert all(abs(a[0] - b[0]) < Fraction(1, 1000) for a, b in zip(before, after, strict=False))

    @pytest.mark.parametrize("suffix", [".mp4", ".mov"])
    def test_a_pause_that_mp4_cannot_hold_ends_the_sound_and_not_the_process(self, tmp_path: Path, suffix: str) -> None:
        source = write_paused_sound(tmp_path / "in.mkv", pause_seconds=50_400)
        _, sink = transcode(source, tmp_path / f"o{suffix}")
        assert len(frame_times(tmp_path / f"o{suffix}")) == sink.num_frames == 50
        assert sink.notes == [
            "audio stream (deu) in aac ends at 1.0 s: a pause of 14.0 hours follows, which .mkv can hold"
        ]
        assert np.diff([float(time) for time, _ in packets(tmp_path / f"o{suffix}")]).max() < 0.1
        _, sink = transcode(source, tmp_path / "o.mkv")
        assert sink.notes == []
        assert len(packets(tmp_path / "o.mkv")) == len(packets(source))

    @pytest.mark.parametrize("suffix", [".mp4", ".mov"])
    def test_sound_that_begins_after_a_pause_that_mp4_cannot_hold_is_dropped(self, tmp_path: Path, suffix: str) -> None:
        source = write_paused_sound(tmp_path / "in.mkv", pause_seconds=50_400, first_packets=0)
        _, sink = transcode(source, tmp_path / f"o{suffix}")
        assert len(frame_times(tmp_path / f"o{suffix}")) == sink.num_frames == 50
        assert sink.notes == ["audio stream (deu) in aac is dropped: it begins after 14.0 hours, which .mkv can hold"]
        with av.open(str(tmp_path / f"o{suffix}")) as container:
            assert container.duration == 2_000_000
        _, sink = transcode(source, tmp_path / "o.mkv")
        assert sink.notes == []
        assert packets(tmp_path / "o.mkv") == packets(source)

    def test_frames_of_days_are_refused_with_the_name_to_choose(self, tmp_path: Path) -> None:
        about = source_info(time_base=Fraction(1, 1000))
        refused = pytest.raises(SinkError, match=r"too far apart .*no frame is kept; choose a name that ends in \.mkv")
        with refused, open_test_sink(tmp_path / "o.mp4", about) as sink:
            for index in range(12):
                sink.write(gradient_frame(96, 64, index), 86_400_000 * index)
        assert list(tmp_path.iterdir()) == []


def packets(path: Path) -> list[tuple[Fraction, bytes]]:
    return packets_of(path, "audio")


def write_paused_sound(path: Path, pause_seconds: int, *, first_packets: int = 44) -> Path:
    """Two seconds of frames; the sound pauses for a long time after its first packets."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = output.add_stream("aac", rate=44100)
        sound.metadata["language"] = "deu"
        for index in range(50):
            frame = gradient_frame(96, 64, index)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode())
        for number, packet in enumerate(encode_tone(sound, 88_200, 0)):
            if number >= first_packets:
                packet.dts, packet.pts = (time + 44_100 * pause_seconds for time in (packet.dts, packet.pts))
            output.mux(packet)
    return path
