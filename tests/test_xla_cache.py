"""The folder of what XLA compiled: named by TensorFlow and GPU, private, bounded, and absent without a GPU."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from streamcam.xla_cache import keep_xla_programs, prune, visible_gpus


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMCAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_folder_is_set_before_tensorflow_starts(root: Path) -> None:
    environment = {"TF_XLA_FLAGS": "--tf_xla_clustering_debug"}
    folder = keep_xla_programs(environment, ["NVIDIA H100"])
    assert folder is not None
    assert folder.parent == root
    assert folder.name.startswith(f"xla-{version('tensorflow')}-")
    assert folder.stat().st_mode & 0o777 == 0o700
    flags = environment["TF_XLA_FLAGS"].split()
    assert flags[0] == "--tf_xla_clustering_debug"
    assert f"--tf_xla_persistent_cache_directory={folder}" in flags
    assert "--tf_xla_deterministic_cluster_names=true" in flags


def test_each_kind_of_gpu_has_its_own(root: Path) -> None:
    folders = [keep_xla_programs({}, names) for names in (["H100"], ["A100"], ["A100", "H100"], ["H100", "A100"])]
    assert len(set(folders)) == 3
    assert folders[2] == folders[3]


@pytest.mark.parametrize(
    ("flags", "gpus", "cache"),
    [
        ("", [], "{root}"),
        ("--tf_xla_persistent_cache_directory=/mine", ["H100"], "{root}"),
        ("/file/with/flags", ["H100"], "{root}"),
        ("", ["H100"], "off"),
        ("", ["H100"], "{root}/with space"),
    ],
    ids=["no GPU", "the user's own", "a file of flags", "off", "a path with a space"],
)
def test_nothing_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, gpus: list[str], cache: str
) -> None:
    monkeypatch.setenv("STREAMCAM_CACHE", cache.format(root=tmp_path))
    environment = {"TF_XLA_FLAGS": flags}
    assert keep_xla_programs(environment, gpus) is None
    assert environment == {"TF_XLA_FLAGS": flags}
    assert not list(tmp_path.glob("**/xla-*"))


@pytest.mark.skipif(os.name != "posix", reason="the permissions of Windows are inherited")
def test_a_folder_that_others_can_write_is_not_used(root: Path) -> None:
    folder = keep_xla_programs({}, ["H100"])
    assert folder is not None
    folder.chmod(0o777)
    assert keep_xla_programs({}, ["H100"]) is None
    folder.chmod(0o700)
    root.chmod(0o777)
    assert keep_xla_programs({}, ["H100"]) is None


def test_the_least_recently_used_programs_go_first(root: Path) -> None:
    old, new = keep_xla_programs({}, ["old"]), keep_xla_programs({}, ["new"])
    assert old is not None
    assert new is not None
    paths = [old / "streamcam__1.pb", new / "streamcam__2.pb", new / "streamcam__3.pb"]
    others = [root / "entry.zip", new / "mine.txt"]
    for n, path in enumerate([*paths, *others]):
        path.write_bytes(bytes(100))
        os.utime(path, (1_000 + n, 1_000 + n))
    os.utime(paths[0], (2_000, 1_000))  # read later than the others
    prune(root, 200)
    assert [path.exists() for path in paths] == [True, False, True]
    prune(root, 0)
    assert not any(path.exists() for path in paths)
    assert all(path.exists() for path in others)


def test_each_start_prunes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = keep_xla_programs({}, ["H100"])
    assert folder is not None
    with (folder / "streamcam__1.pb").open("wb") as file:
        file.truncate(2**30 + 1)
    keep_xla_programs({}, ["H100"])
    assert not list(folder.iterdir())


def test_gpus_are_read_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver, devices = tmp_path / "nvidia", tmp_path / "dev"
    devices.mkdir()
    assert visible_gpus(driver, devices) == ()
    (devices / "nvidiactl").touch()
    assert visible_gpus(driver, devices) == ("unknown",)
    (driver / "gpus/0000:01:00.0").mkdir(parents=True)
    (driver / "gpus/0000:01:00.0/information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: \t 64\n")
    (driver / "version").write_text("NVRM version: 580.159\nGCC version: 12\n")
    assert visible_gpus(driver, devices) == ("NVIDIA H100 80GB HBM3", "NVRM version: 580.159")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus(driver, devices) == ()
