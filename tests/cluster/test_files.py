"""The files of a job on their way to other machines: pieces, folders, object stores."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamcam.cluster import files as files_module
from streamcam.cluster.files import JobFile, job_files, localize
from streamcam.cluster.urls import check_writable, fetch, is_remote, upload
from streamcam.errors import SinkError, SourceError
from streamcam.job import Job
from tests.waiting import wait_until


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "clip.mp4").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "model" / "variables" / "data").write_bytes(b"w" * 3000)
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    return Job.from_options(
        f"file://{tmp_path}/clip.mp4",
        tmp_path / "out.mp4",
        model=tmp_path / "model",
        labels=str(tmp_path / "names.txt"),
        preprocess="package.module:scale",
        extra_input={"age": "3"},
    )


def test_the_files_of_a_job(job: Job, tmp_path: Path) -> None:
    found = job_files(job)
    assert [one.base_name for one in found] == ["clip.mp4", "model", "names.txt"]
    assert [part.relative for part in found[1].parts] == ["saved_model.pb", "variables/data"]
    assert [part.relative for part in found[0].parts] == [""]
    assert all(one.is_here for one in found)
    (tmp_path / "model" / "variables" / "data").write_bytes(b"v" * 3000)
    assert [one.is_here for one in found] == [True, False, True]
    assert job_files(Job.from_options(tmp_path / "clip.mp4", "out.mp4"))[0].path == str(tmp_path / "clip.mp4")


def test_files_travel_in_pieces(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "PIECE_BYTES", 1000)
    (tmp_path / "model" / "empty").touch()
    store, places = files_module.FileCopies(tmp_path / "copies"), {}
    for number, file in enumerate(job_files(job)):
        sizes = []
        for relative, data in file.pieces():
            sizes.append(len(data))
            places[file.name] = store.receive(number, file.base_name, relative, data)
        assert max(sizes) <= 1000
        copy = JobFile.of(file.name, Path(places[file.name]))
        assert [(one.relative, one.size, one.sha256) for one in copy.parts] == [
            (one.relative, one.size, one.sha256) for one in file.parts
        ]
    local = localize(job, places)
    assert Path(local.source.url).read_bytes() == bytes(range(256)) * 9
    assert Path(local.model.model, "saved_model.pb").read_bytes() == b"graph"
    assert Path(local.model.labels).read_text() == "cat\ndog\n"
    assert (local.model.preprocess, local.model.extra_input) == ("package.module:scale", {"age": "3"})
    assert localize(job, {}).model == job.model


def test_urls_of_object_stores() -> None:
    remote = ["s3://bucket/clip.mp4", "gs://bucket/clip.mp4", "memory://clip.mp4"]
    assert [is_remote(url) for url in remote] == [True, True, True]
    others = ["clip.mp4", "/a/clip.mp4", "file:///a/clip.mp4", "http://host/clip.mp4", "https://host/clip.mp4"]
    assert [is_remote(url) for url in others] == [False] * 5


def test_a_remote_file_and_back(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "out.mp4").write_bytes(b"video")
    check_writable("memory://folder/out.mp4", overwrite=False)
    upload(tmp_path / "out.mp4", "memory://folder/out.mp4")
    (tmp_path / "copies").mkdir()
    assert fetch("memory://folder/out.mp4", tmp_path / "copies").read_bytes() == b"video"
    (tmp_path / "copies" / "out.mp4").write_bytes(b"vid")  # left by a download that was cut off
    assert fetch("memory://folder/out.mp4", tmp_path / "copies").read_bytes() == b"video"
    with pytest.raises(SinkError, match=r"memory://folder/out.mp4 exists already; use --overwrite"):
        check_writable("memory://folder/out.mp4", overwrite=False)
    check_writable("memory://folder/out.mp4", overwrite=True)
    with pytest.raises(SourceError, match=r"memory://folder/none.mp4 does not exist"):
        fetch("memory://folder/none.mp4", tmp_path)


def test_errors_of_stores_are_one_line(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(SourceError, match="nosuch://bucket/a cannot be read: Protocol not known: nosuch"):
        fetch("nosuch://bucket/a", tmp_path)
    with pytest.raises(SinkError, match="abfs:// needs adlfs, which is not installed; pip install adlfs"):
        check_writable("abfs://bucket/a.mp4", overwrite=False)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Start a local S3 server, and return its address."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            wait_until(lambda: server.poll() is not None or _listens(port), seconds=90)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_s3(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    values = {"AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("clips")
    data = os.urandom(12 << 20)  # more than one part
    (tmp_path / "out.mp4").write_bytes(data)
    check_writable("s3://clips/a/out.mp4", overwrite=False)
    upload(tmp_path / "out.mp4", "s3://clips/a/out.mp4")
    (tmp_path / "copy").mkdir()
    assert fetch("s3://clips/a/out.mp4", tmp_path / "copy").read_bytes() == data
    assert s3fs.S3FileSystem().ls("clips/a") == ["clips/a/out.mp4"]
    with pytest.raises(SinkError, match=r"s3://clips/a/out.mp4 exists already"):
        check_writable("s3://clips/a/out.mp4", overwrite=False)
    with pytest.raises(SinkError, match=r"s3://none/out.mp4 (cannot be written|does not exist).*"):
        check_writable("s3://none/out.mp4", overwrite=True)
    s3fs.S3FileSystem.clear_instance_cache()
