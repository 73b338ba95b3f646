"""HLS outputs: segments of bounded length, gaps, and playlists that are continued."""

from __future__ import annotations

import errno
import os
import re
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamcam.errors import StreamcamError
from streamcam.options import OutputOptions
from streamcam.sinks.push.__main__ import _exit_code
from streamcam.sinks.push.destinations import check_destination, resolve_destination
from streamcam.sinks.push.encoder import StreamEncoder
from streamcam.sinks.push.playlist import BusyError
from streamcam.sinks.push.protocol import EXIT_BUSY, WorkerConfig
from tests.waiting import wait_until

from .output_helpers import MOVING_FRAMES, TICKS_PER_SECOND, is_alive, start_pusher, worker_pids


def make_encoder(path: Path, **options: Any) -> StreamEncoder:
    output = OutputOptions(url=str(path), preset="ultrafast", **options)
    return StreamEncoder(WorkerConfig(output, Fraction(25)), resolve_destination(output), pytest.fail)


def write(encoder: StreamEncoder, start_seconds: float, seconds: float, fps: float = 25) -> None:
    for index in range(round(seconds * fps)):
        pts = round((start_seconds + index / fps) * TICKS_PER_SECOND)
        encoder.write(MOVING_FRAMES[index % len(MOVING_FRAMES)], pts)


class Listing:
    """A playlist, read as RFC 8216 describes it."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines()
        assert lines[0] == "#EXTM3U"
        self.lines = lines
        self.target = self._number("#EXT-X-TARGETDURATION:")
        self.sequence = self._number("#EXT-X-MEDIA-SEQUENCE:")
        self.discontinuity_sequence = self._number("#EXT-X-DISCONTINUITY-SEQUENCE:")
        self.durations = [float(line[8:].rstrip(",")) for line in lines if line.startswith("#EXTINF:")]
        self.names = [line for line in lines if not line.startswith("#")]
        self.num_discontinuities = lines.count("#EXT-X-DISCONTINUITY")
        assert len(self.names) == len(self.durations) == len(set(self.names))
        assert all(round(duration) <= self.target for duration in self.durations)
        assert [int(name[-8:-3]) for name in self.names] == [self.sequence + n for n in range(len(self.names))]

    def _number(self, tag: str) -> int:
        return next((int(line.removeprefix(tag)) for line in self.lines if line.startswith(tag)), 0)


def count_frames(path: Path) -> int:
    with av.open(str(path), options={"live_start_index": "0"}) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 12, 5, 1.4])
def test_segments_are_never_longer_than_the_target(tmp_path: Path, fps: float) -> None:
    encoder = make_encoder(tmp_path / "live.m3u8")
    write(encoder, 3, 8, fps)
    encoder.close()
    listing = Listing(tmp_path / "live.m3u8")
    assert listing.target == 2
    assert max(listing.durations) <= 2.001
    assert listing.num_discontinuities == 0
    assert listing.lines[-1] == "#EXT-X-ENDLIST"
    assert sum(listing.durations) == pytest.approx(round(8 * fps) / fps, abs=1 / fps)


def test_gap_is_a_discontinuity_and_no_long_segment(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "live.m3u8")
    write(encoder, 0, 5)
    write(encoder, 24, 4)
    encoder.close()
    listing = Listing(tmp_path / "live.m3u8")
    assert listing.target == 2
    assert listing.durations == pytest.approx([2, 2, 1, 2, 2], abs=0.05)
    assert listing.lines.index("#EXT-X-DISCONTINUITY") == listing.lines.index(listing.names[2]) + 1
    assert listing.num_discontinuities == 1
    assert count_frames(tmp_path / "live.m3u8") == 9 * 25


def test_discontinuities_that_left_the_list_are_counted(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "live.m3u8")
    for part in range(10):
        write(encoder, part * 60, 1, 5)
        if part == 4:
            assert Listing(tmp_path / "live.m3u8").discontinuity_sequence == 0
    encoder.close()
    listing = Listing(tmp_path / "live.m3u8")
    assert (listing.sequence, listing.num_discontinuities, listing.discontinuity_sequence) == (4, 6, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["live.m3u8", *listing.names, "live-00002.ts", "live-00003.ts"]
    )


def test_playlist_is_continued_by_the_next_run_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "live.m3u8"
    for part in range(2):
        check_destination(OutputOptions(url=str(target)), Fraction(25))
        encoder = make_encoder(target)
        write(encoder, 0, 5, 5)
        encoder.close()
        assert len(Listing(target).names) == 3 * (part + 1)
    listing = Listing(target)
    assert listing.num_discontinuities == 1
    assert listing.lines.count("#EXT-X-ENDLIST") == 1
    assert count_frames(target) == 50
    target.write_text("\n".join(line for line in listing.lines if not line.startswith("# ")))
    with pytest.raises(StreamcamError, match="exists already"):
        check_destination(OutputOptions(url=str(target)), Fraction(25))
    encoder = make_encoder(target, overwrite=True)
    write(encoder, 0, 1, 5)
    encoder.close()
    assert Listing(target).names == ["live-00000.ts"]


def test_playlist_has_one_writer(tmp_path: Path) -> None:
    first, second = make_encoder(tmp_path / "live.m3u8"), make_encoder(tmp_path / "live.m3u8")
    write(first, 0, 1, 5)
    with pytest.raises(BusyError, match=r"live\.m3u8 is written by another process") as caught:
        write(second, 0, 1, 5)
    assert _exit_code(caught.value) == EXIT_BUSY
    first.close()
    write(second, 1, 1, 5)
    second.close()
    assert len(Listing(tmp_path / "live.m3u8").names) == 2


def test_missing_descriptors_are_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, open_file = make_encoder(tmp_path / "live.m3u8"), os.open

    def refuse(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path).endswith(".ts.tmp"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_file(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StreamcamError, match="Too many open files") as caught:
        write(encoder, 0, 5)
    assert _exit_code(caught.value) == EXIT_BUSY


@pytest.mark.slow
def test_killed_run_is_continued_without_overwrite_and_leaves_no_orphan(tmp_path: Path) -> None:
    target = tmp_path / "live.m3u8"
    parent = start_pusher(target, 1_000_000, 160, 96, "yuv420p")
    wait_until(lambda: target.exists() and Listing(target).sequence > 2)
    pids = [*worker_pids(parent.pid), parent.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    killed = Listing(target)
    for name in ("live-00000.ts", "live-12345.ts", "live-99999.ts.tmp"):
        (tmp_path / name).touch()
    mine = {"live-1.ts", "alive-00000.ts", "live-00000.mp4"}
    for name in mine:
        (tmp_path / name).touch()
    process = start_pusher(target, 120, 160, 96, "yuv420p")
    _, errors = process.communicate(timeout=120)
    assert errors.decode() == "ended|120|\n"
    listing = Listing(target)
    assert listing.sequence + len(listing.names) == killed.sequence + len(killed.names) + 3
    assert listing.num_discontinuities == 1
    found = {path.name for path in tmp_path.iterdir()} - mine - {"live.m3u8", *listing.names}
    assert all(re.fullmatch(r"live-\d{5}\.ts", name) and int(name[5:10]) < listing.sequence for name in found)
    assert len(found) == 2
    assert all((tmp_path / name).exists() for name in mine)
