"""Keys of the compile cache: whatever changes a result is another entry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamcam.engine.runtime import fingerprint
from streamcam.engine.runtime.compile_cache import CompileCache
from streamcam.imports import expand_path
from streamcam.models import labels


def test_a_file_copied_with_its_time_is_another(tmp_path: Path) -> None:
    mine = tmp_path / "mine.keras"
    mine.write_bytes(bytes(1000))
    store = CompileCache(tmp_path)
    before, found = store.cache_key(str(mine)), mine.stat()
    data = bytearray(mine.read_bytes())
    data[-1] ^= 1
    mine.write_bytes(data)
    os.utime(mine, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert mine.stat().st_mtime_ns == found.st_mtime_ns
    assert store.cache_key(str(mine)) != before


@pytest.mark.parametrize("name", [" names.txt", "names.txt ", "~/names.txt", " .npy", Path(" names.txt")])
def test_a_file_is_recognised_by_the_name_it_is_opened_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    store, path = CompileCache(tmp_path / "kept"), expand_path(name)
    path.write_text("cat\ndog\n")
    before = store.cache_key(name)
    assert labels.resolve_labels(name, 2, "m") == ("cat", "dog")
    path.write_text("dog\ncat\n")
    assert labels.resolve_labels(name, 2, "m") == ("dog", "cat")
    assert store.cache_key(name) != before


def test_a_function_with_spaces_around_it_is_one(tmp_path: Path) -> None:
    assert CompileCache(tmp_path).cache_key(" tests.engine.models:functional ") == ""


def test_a_saved_model_is_its_files_also_behind_links(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "model"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (elsewhere / "variables.data").write_bytes(b"one")
    (folder / "variables").symlink_to(elsewhere, target_is_directory=True)
    store = CompileCache(tmp_path / "kept")
    before = store.cache_key(str(folder))
    assert store.cache_key(str(folder)) == before
    (elsewhere / "variables.data").write_bytes(b"three")
    assert store.cache_key(str(folder)) != before


def test_another_cpu_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CompileCache(tmp_path)
    before = store.cache_key("x")
    assert before == store.cache_key("x") != store.cache_key("y")
    monkeypatch.setattr(fingerprint, "_cpu_fingerprint", lambda: ["model name\t: another"])
    assert store.cache_key("x") != before
