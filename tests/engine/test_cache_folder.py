"""The folder of the compile cache: only this user can have written its entries, and it stays small."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcam.engine.compiled_method import FrozenMethod
from streamcam.engine.runtime import compile_cache as stored
from streamcam.engine.runtime.compile_cache import CompileCache, TunedMethod
from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.engine.runtime.private_folder import KEY_FILE
from streamcam.tf import tf


@pytest.fixture
def written(tmp_path: Path) -> tuple[CompileCache, str, Path]:
    """A cache with one entry, its key and its file."""
    cache = CompileCache(tmp_path / "cache")
    key = cache.cache_key("x")
    cache.put_text(key, "mine")
    assert cache.get_text(key) == "mine"
    assert cache.folder is not None
    return cache, key, cache.folder / f"{key}.zip"


def test_a_new_folder_and_its_key_are_private(written: tuple[CompileCache, str, Path]) -> None:
    folder = written[2].parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(written[2].stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_not_used(
    written: tuple[CompileCache, str, Path], mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache, key, entry = written
    entry.parent.chmod(mode)
    assert cache.get_text(key) is None
    cache.put_text(key, "again")
    assert entry.exists()
    found = CompileCache(entry.parent)
    assert found.cache_key("x") == ""
    assert "other users can write into it" in caplog.text
    entry.parent.chmod(0o700)
    assert cache.get_text(key) == "mine"


def test_a_folder_of_another_user_is_not_used(
    written: tuple[CompileCache, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, key, entry = written
    monkeypatch.setattr(os, "geteuid", lambda: entry.stat().st_uid + 1)
    assert cache.get_text(key) is None
    assert CompileCache(entry.parent).refusal == "it belongs to another user"
    assert entry.exists()


def forge_with_own_key(entry: Path) -> None:
    """Write a digest under a key that others could read."""
    folder, key = entry.parent, bytes(32)
    (folder / KEY_FILE).write_bytes(key)
    (folder / KEY_FILE).chmod(0o644)
    content = entry.read_bytes()[32:]
    entry.write_bytes(hmac.digest(key, entry.name.encode() + b"\0" + content, "sha256") + content)


@pytest.mark.parametrize(
    "forge",
    [
        lambda entry: entry.write_bytes(entry.read_bytes()[32:]),  # an entry without a digest
        lambda entry: entry.write_bytes(bytes(32) + entry.read_bytes()[32:]),
        lambda entry: (entry.parent / KEY_FILE).write_bytes(bytes(32)),
        lambda entry: (entry.parent / KEY_FILE).unlink(),
        forge_with_own_key,
    ],
    ids=["no digest", "wrong digest", "another key", "no key", "readable key"],
)
def test_a_forged_entry_is_not_used(written: tuple[CompileCache, str, Path], forge: Any) -> None:
    cache, key, entry = written
    forge(entry)
    assert cache.get_text(key) is None
    cache.put_text(key, "again")
    assert cache.get_text(key) == "again"


def test_an_entry_under_another_name_is_not_used(written: tuple[CompileCache, str, Path]) -> None:
    cache, _, entry = written
    other = cache.cache_key("y")
    entry.rename(entry.with_name(f"{other}.zip"))
    assert cache.get_text(other) is None


def replace_by_link(entry: Path) -> None:
    target = entry.rename(entry.with_name("target"))
    entry.symlink_to(target)


def replace_by_pipe(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry)


def replace_by_folder(entry: Path) -> None:
    entry.unlink()
    entry.mkdir()


@pytest.mark.parametrize("replace", [replace_by_link, replace_by_pipe, replace_by_folder])
def test_only_regular_files_are_read(written: tuple[CompileCache, str, Path], replace: Any) -> None:
    cache, key, entry = written
    replace(entry)
    assert cache.get_text(key) is None  # a pipe must not block
    replace_key = entry.parent / KEY_FILE
    replace_key.unlink()
    os.mkfifo(replace_key)
    cache.put_text(cache.cache_key("z"), "fine")
    assert cache.get_text(cache.cache_key("z")) == "fine"


def test_a_cached_graph_that_writes_files_is_not_used(tmp_path: Path) -> None:
    def write(images: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "written"), "x")]):
            return tf.identity(images)

    traced = tf.function(write).get_concrete_function(tf.TensorSpec((1, 4, 4, 3), tf.float32))
    graph = FrozenGraph(traced.graph.as_graph_def(), (traced.inputs[0].name,), (traced.outputs[0].name,))
    method = FrozenMethod(graph, (4, 4), 1, "input", "", "float32")
    assert not method.is_serializable
    cache = CompileCache(tmp_path / "cache")
    cache.put_method("key", TunedMethod(method, "float32"))
    assert not (tmp_path / "cache").exists()
    with pytest.MonkeyPatch.context() as patch:  # an entry of an older version
        patch.setattr(FrozenGraph, "is_serializable", True)
        cache.put_method("key", TunedMethod(method, "float32"))
    assert (tmp_path / "cache" / "key.zip").exists()
    assert cache.get_method("key") is None
    assert not (tmp_path / "written").exists()


def test_nothing_is_kept_where_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCAM_CACHE", "off")
    assert CompileCache().cache_key("x") == ""


def test_the_oldest_entries_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_CACHE_BYTES", 1500)
    names = [f"{hours:032x}" for hours in (3, 2, 1)]
    for age, name in enumerate(reversed(names), 1):
        old = tmp_path / f"{name}.zip"
        old.write_bytes(bytes(600))
        os.utime(old, (1000 - age, 1000 - age))
    store = CompileCache(tmp_path)
    key = store.cache_key("x")
    store._write(key, {"info.json": b"{}"})
    assert sorted(path.stem for path in tmp_path.glob("*.zip")) == sorted([*names[1:], key])


def test_nothing_but_entries_ever_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_CACHE_BYTES", 0)
    key = "0123456789abcdef" * 2
    mine = ["photographs.zip", "new-year.mp4", "new-", f"{key}1.zip", f"{key.upper()}.zip", f"{key}.zip.txt"]
    theirs = [f"{key}.zip", f"{key}.zip.a_b0c1d2.unfinished"]
    for name in (*mine, *theirs):
        (tmp_path / name).write_bytes(bytes(600))
        os.utime(tmp_path / name, (1000, 1000))
    store = CompileCache(tmp_path)
    store._write(store.cache_key("x"), {"info.json": b"{}"})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*mine, KEY_FILE])


def test_an_entry_that_was_never_finished_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CompileCache(tmp_path)
    store.put_text(store.cache_key("z"), "all well")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: None)
        store.put_text(store.cache_key("x"), "all well")
    (left,) = tmp_path.glob("*.unfinished")
    store.put_text(store.cache_key("y"), "all well")
    assert left.exists()
    os.utime(left, (1000, 1000))
    store.put_text(store.cache_key("y"), "all well")
    assert not left.exists()


def damaged_headers(entry: bytes) -> Iterator[tuple[str, bytes]]:
    """An entry with each bit wrong of what zipfile goes by: the last file's line in the list, and its own header."""
    last = entry.rindex(b"PK\x01\x02")
    own_header = entry.rindex(b"PK\x03\x04", 0, last)
    for place in (*range(last, len(entry)), *range(own_header, own_header + 30)):
        for bit in range(8):
            wrong = bytearray(entry)
            wrong[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", bytes(wrong)


@pytest.mark.slow
def test_an_entry_with_any_wrong_bit_is_right_or_gone(tmp_path: Path) -> None:
    store = CompileCache(tmp_path)
    store.put_text(store.cache_key("x"), "all well")
    (path,) = tmp_path.glob("*.zip")
    for where, wrong in damaged_headers(path.read_bytes()):
        path.write_bytes(wrong)
        found = store.get_text(store.cache_key("x"))
        assert found == "all well" or (found is None and not path.exists()), where
