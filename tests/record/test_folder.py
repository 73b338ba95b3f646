"""The folder of a record: never another one's, whole on a full disk, and written by one run at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import streamcam
from streamcam.errors import SinkError
from streamcam.record import RecordFolder, RecordWriter
from streamcam.record import writer as writer_module
from tests.waiting import wait_until

from .made_up import make_items, make_manifest, write_record

ROOT = Path(__file__).parents[2]


def test_an_existing_record_needs_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 2)
    path = write_record(tmp_path / "r", make_items(6))
    (path / "notes.txt").write_text("mine")
    (path / ".maps-0001.npy.0123456789abcdef.part").touch()  # of a killed run
    with pytest.raises(SinkError, match="exists already; use --overwrite"):
        write_record(path, make_items(2))
    assert len(streamcam.open_record(path)) == 6
    write_record(path, make_items(2), overwrite=True)
    assert sorted(os.listdir(path)) == ["frames-0000.jsonl", "manifest.json", "maps-0000.npy", "notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_and_folders_are_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    record = write_record(tmp_path / "record", make_items(1))
    (tmp_path / "link").symlink_to(record)
    for name in ("file", "folder", "link", "missing/record"):
        with pytest.raises(SinkError, match=r"--record|create it first"):
            RecordFolder(tmp_path / name, overwrite=overwrite).check()
    assert (tmp_path / "folder" / "file").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_record_within_a_record_is_refused(tmp_path: Path, overwrite: bool) -> None:
    record = write_record(tmp_path / "r", make_items(1))
    (record / "folder").mkdir()
    for name in ("sub", "folder", "folder/sub"):
        with pytest.raises(SinkError, match=f"{name} is within the record {record}; choose another name with --record"):
            RecordFolder(record / name, overwrite=overwrite).check()


def test_the_manifest_of_another_program_is_kept(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(SinkError, match="is a folder without a record"):
        RecordFolder(tmp_path, overwrite=True).check()
    write_record(tmp_path / "r", make_items(1))  # nor is a folder within it a part of a record


def test_a_folder_that_appears_later_is_kept(tmp_path: Path) -> None:
    folder = RecordFolder(tmp_path / "r", overwrite=False)
    folder.check()
    write_record(tmp_path / "r", make_items(5))
    with pytest.raises(SinkError, match="exists already"), RecordWriter(folder, make_manifest()) as writer:
        writer.add(make_items(1)[0])
    assert len(streamcam.open_record(tmp_path / "r")) == 5


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", make_items(1))
    (tmp_path / "precious").write_text("mine")
    for name in ("frames-0000.jsonl", "maps-0000.npy"):
        (path / name).unlink()
        (path / name).symlink_to(tmp_path / "precious")
    write_record(path, make_items(2), overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"
    assert len(list(streamcam.open_record(path))) == 2


def test_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = write_record(tmp_path / "r", make_items(1))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o750
    assert {one.stat().st_mode & 0o777 for one in path.iterdir()} == {0o640}


def test_two_runs_do_not_write_one_record(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", make_items(1))
    with RecordWriter(RecordFolder(path, overwrite=True), make_manifest()) as first:
        first.add(make_items(1)[0])
        with (
            pytest.raises(SinkError, match="is being written by another run"),
            RecordWriter(RecordFolder(path, overwrite=True), make_manifest()) as second,
        ):
            second.add(make_items(1)[0])
    assert len(streamcam.open_record(path)) == 1


def test_without_frames_there_is_no_folder(tmp_path: Path) -> None:
    write_record(tmp_path / "r", [])
    assert not (tmp_path / "r").exists()


def fill_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The disk is full once ``after`` files were written."""
    written: list[int] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 2 * after:  # a file, and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)


@pytest.mark.parametrize("after", range(10))
def test_a_full_disk_leaves_whole_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 2)
    fill_disk(monkeypatch, after)
    chunks = after // 3
    kept = f"its first {2 * chunks} frames are kept" if chunks else "no frame is kept"
    path = tmp_path / "r"
    with pytest.raises(SinkError) as caught:
        write_record(path, make_items(8))
    assert str(caught.value) == f"no space left for {path}; {kept}; free some space"
    names = sorted(os.listdir(path)) if path.exists() else []
    files = [f"{kind}-{n:04d}.{end}" for kind, end in (("frames", "jsonl"), ("maps", "npy")) for n in range(chunks)]
    assert names == sorted([*files, "manifest.json"] if chunks else [])
    if chunks:
        record = streamcam.open_record(path)
        assert (len(list(record)), record.complete) == (2 * chunks, False)


ENDLESS_WRITER = """
import itertools, pathlib, sys
from tests.record import made_up
from streamcam.record import RecordFolder, RecordWriter, writer
writer.MAX_CHUNK_FRAMES = 4
items = made_up.make_items(64)
with RecordWriter(RecordFolder(pathlib.Path(sys.argv[1]), overwrite=True), made_up.make_manifest()) as record:
    for number, item in enumerate(itertools.cycle(items)):
        record.add(item)
        if number == 40:
            print("recording", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay_chunks", [0, 3, 10])
def test_a_killed_run_leaves_whole_chunks(tmp_path: Path, delay_chunks: int) -> None:
    path = tmp_path / "r"
    command = [sys.executable, "-c", ENDLESS_WRITER, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"recording\n"
        before = len(streamcam.open_record(path).chunks)
        wait_until(lambda: len(streamcam.open_record(path).chunks) >= before + delay_chunks, 60)
        run.kill()
    record = streamcam.open_record(path)
    assert len(record.chunks) >= before + delay_chunks > 0
    assert [frame.index for frame in record] == [n % 64 for n in range(4 * len(record.chunks))]
    assert not record.complete
    # The record can be replaced: the lock ended with the process, and unfinished files go.
    write_record(path, make_items(2), overwrite=True)
    assert sorted(os.listdir(path)) == ["frames-0000.jsonl", "manifest.json", "maps-0000.npy"]


def test_the_error_reaches_the_run_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_CHUNK_FRAMES", 1)
    fill_disk(monkeypatch, 0)
    added: list[Any] = []
    with (
        pytest.raises(SinkError, match="no space left"),
        RecordWriter(RecordFolder(tmp_path / "r", overwrite=False), make_manifest()) as writer,
    ):
        for item in make_items(50):
            writer.add(item)
            added.append(item)
    assert len(added) < 5


def test_a_folder_that_is_gone_in_the_end(tmp_path: Path) -> None:
    with (
        pytest.raises(SinkError, match="was removed or replaced by another program"),
        RecordWriter(RecordFolder(tmp_path / "r", overwrite=False), make_manifest()) as writer,
    ):
        writer.add(make_items(1)[0])
        (tmp_path / "r").rename(tmp_path / "elsewhere")
        (tmp_path / "r").mkdir()
    assert len(streamcam.open_record(tmp_path / "elsewhere")) == 1
    assert os.listdir(tmp_path / "r") == []
