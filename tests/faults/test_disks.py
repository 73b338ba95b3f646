"""Faults of disks, folders and the cache: the run tells what is there."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .harness import NUM_FRAMES, FaultyRun, check_truth, num_playable

pytestmark = pytest.mark.slow

SIZES = [(f"size={size}", suffix) for size in ("4k", "16k", "64k", "256k") for suffix in (".mp4", ".mkv")]


@pytest.mark.parametrize(("disk", "suffix"), SIZES, indirect=["disk"])
def test_a_full_disk(fault_clip: Path, tmp_path: Path, disk: Path, suffix: str) -> None:
    out = disk / f"out{suffix}"
    with FaultyRun(fault_clip, out, tmp_path / "fault", "none") as run:
        code, report, errors = run.finish()
    assert code == 1
    assert f"no space left for {out}" in errors
    check_truth(code, report, errors, out)


@pytest.mark.parametrize("disk", ["size=8k", "size=32k"], indirect=True)
def test_a_full_disk_for_the_record(fault_clip: Path, tmp_path: Path, disk: Path) -> None:
    record = disk / "r"
    with FaultyRun(fault_clip, tmp_path / "out.mp4", tmp_path / "fault", "none", f"--record={record}") as run:
        code, _, errors = run.finish()
    assert code == 1
    assert f"no space left for {record}; no frame is kept" in errors
    assert list(disk.iterdir()) == []
    assert num_playable(tmp_path / "out.mp4") == NUM_FRAMES


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_may_not_grow(fault_clip: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    with FaultyRun(
        fault_clip, out, tmp_path / "fault", "none", preexec_fn=limit, env={"STREAMCAM_CACHE": "off"}
    ) as run:
        code, report, errors = run.finish()
    assert code == 1
    check_truth(code, report, errors, out)


@pytest.mark.parametrize("disk", ["nr_inodes=2"], indirect=True)
def test_a_disk_that_takes_one_file_only(fault_clip: Path, tmp_path: Path, disk: Path) -> None:
    out = disk / "out.mp4"
    with FaultyRun(fault_clip, out, tmp_path / "fault", "none") as run:
        code, report, errors = run.finish()
    assert "keeps its index at the end" in errors or code == 1
    check_truth(code, report, errors, out)


def replace_file(out: Path) -> None:
    out.unlink()
    out.write_bytes(b"precious")


CHANGES: dict[str, Callable[[Path], Any]] = {
    "folder removed": lambda out: shutil.rmtree(out.parent),
    "folder renamed": lambda out: out.parent.rename(out.parent.with_name("elsewhere")),
    "file removed": lambda out: out.unlink(),
    "file renamed": lambda out: out.rename(out.with_name("other.mp4")),
    "file replaced": replace_file,
}


@pytest.mark.parametrize(
    ("change", "place"),
    [*((change, "70") for change in CHANGES), ("folder removed", "copy"), ("file replaced", "copy")],
)
def test_an_output_that_is_gone_in_the_end(fault_clip: Path, tmp_path: Path, change: str, place: str) -> None:
    out = tmp_path / "folder" / "out.mp4"
    out.parent.mkdir()
    with FaultyRun(fault_clip, out, tmp_path / "fault", place) as run:
        run.wait()
        CHANGES[change](out)
        run.go_on()
        code, _, errors = run.finish()
    assert code == 1
    assert "was removed or replaced by another program" in errors
    assert (out.read_bytes() == b"precious") if change == "file replaced" else not out.exists()


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_file_that_appears_while_the_model_loads(fault_clip: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    out = tmp_path / "out.mp4"
    with FaultyRun(fault_clip, out, tmp_path / "fault", "load", *options) as run:
        run.wait()
        out.write_bytes(b"precious")
        run.go_on()
        code, _, errors = run.finish()
    if options:
        assert code == 0
        assert num_playable(out) == NUM_FRAMES
    else:
        assert code == 1
        assert "exists already" in errors
        assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_two_runs_for_one_file(fault_clip: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    out = tmp_path / "out.mp4"
    with (
        FaultyRun(fault_clip, out, tmp_path / "one", 70) as first,
        FaultyRun(fault_clip, out, tmp_path / "two", "load", *options) as second,
    ):
        first.wait()
        second.wait() if second.process.poll() is None and not options else None
        second.go_on()
        code, _, errors = second.finish()
        assert code == 1
        assert "is being written by another run" in errors or "exists already" in errors
        first.go_on()
        check_truth(*first.finish(), out)
    assert num_playable(out) == NUM_FRAMES


def make_file(cache: Path) -> None:
    cache.write_text("no folder")


def spoil(cache: Path, change: Callable[[Path], Any]) -> None:
    for path in [path for path in cache.rglob("*") if path.is_file()]:
        change(path)


CACHES: dict[str, Callable[[Path], Any]] = {
    "a file": make_file,
    "empty entries": lambda cache: spoil(cache, lambda path: path.write_bytes(b"")),
    "cut entries": lambda cache: spoil(cache, lambda path: os.truncate(path, path.stat().st_size // 2)),
    "noise": lambda cache: spoil(cache, lambda path: path.write_bytes(os.urandom(1000))),
    "folders": lambda cache: spoil(cache, lambda path: (path.unlink(), path.mkdir())),
}


@pytest.mark.parametrize("fault", CACHES)
def test_a_cache_that_is_broken(fault_clip: Path, tmp_path: Path, fault: str) -> None:
    cache = tmp_path / "cache"
    for number in range(2):
        if number or fault == "a file":
            CACHES[fault](cache)
        out = tmp_path / f"out{number}.mp4"
        with FaultyRun(fault_clip, out, tmp_path / "fault", "none", env={"STREAMCAM_CACHE": str(cache)}) as run:
            check_truth(*run.finish(), out)
        assert num_playable(out) == NUM_FRAMES
        if fault == "a file":
            break


@pytest.mark.parametrize("disk", ["size=8k"], indirect=True)
def test_a_cache_on_a_full_disk(fault_clip: Path, tmp_path: Path, disk: Path) -> None:
    out = tmp_path / "out.mp4"
    with FaultyRun(fault_clip, out, tmp_path / "fault", "none", env={"STREAMCAM_CACHE": str(disk)}) as run:
        check_truth(*run.finish(), out)
    assert num_playable(out) == NUM_FRAMES
