"""What is kept for the next run: found again only where nothing has changed, and never a reason to fail."""

from __future__ import annotations

import errno
import hmac
import os
import stat
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine import explainer as engine
from streamcam.engine.compiled_method import FrozenMethod
from streamcam.engine.explainer import FrameExplainer
from streamcam.engine.runtime import compile_cache as stored
from streamcam.engine.runtime import fingerprint
from streamcam.engine.runtime.compile_cache import CompileCache, TunedMethod
from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.engine.runtime.private_folder import KEY_FILE, PrivateFolder
from streamcam.errors import ModelError
from streamcam.frames import SourceInfo
from streamcam.imports import expand_path
from streamcam.models import labels
from streamcam.options import ExplainOptions, ModelOptions
from streamcam.tf import keras, tf

from . import models
from .executables import random_images
from .models import HEIGHT, WIDTH

INFO = SourceInfo("x", WIDTH, HEIGHT, "yuv420p", Fraction(1, 25), num_frames=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    models.functional().save(path)
    return path


def make_explainer(store: CompileCache, file: Path, **options: Any) -> FrameExplainer:
    return FrameExplainer(
        ModelOptions(model=str(file), preprocess="0..1"), ExplainOptions(**{"precision": "float32", **options}), store
    )


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each loading of a model."""
    seen: list[Any] = []
    real = engine.load_model
    monkeypatch.setattr(engine, "load_model", lambda options: seen.append(options.model) or real(options))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("gradcam", {}),
        ("guided-backprop", {}),
        ("occlusion", {"patch": 16, "stride": 16}),
        ("smoothgrad", {"steps": 3}),
    ],
)
def test_the_second_run_says_the_same_without_the_model(
    tmp_path: Path, file: Path, loads: list[Any], method: str, params: Any
) -> None:
    first = make_explainer(CompileCache(tmp_path), file, method=method, params=params)
    result = first.prepare(INFO).executable(random_images(2))
    assert len(loads) == 1
    second = make_explainer(CompileCache(tmp_path), file, method=method, params=params)
    again = second.prepare(INFO).executable(random_images(2))
    assert len(loads) == 1
    for name in ("maps", "classes", "scores", "probabilities", "top_classes", "top_probabilities"):
        np.testing.assert_array_equal(getattr(result, name), getattr(again, name))
    assert result.quality_metrics.keys() == again.quality_metrics.keys()
    assert second.notes == first.notes
    assert second.info.labels == first.info.labels
    assert second.geometry(INFO) == first.geometry(INFO)


@pytest.mark.slow
def test_a_model_that_was_trained_on_is_seen_anew(tmp_path: Path, file: Path, loads: list[Any]) -> None:
    mine = tmp_path / "mine.keras"
    mine.write_bytes(file.read_bytes())
    before = make_explainer(CompileCache(tmp_path / "kept"), mine).prepare(INFO).executable(random_images(2))
    model = keras.models.load_model(mine)
    rng = np.random.default_rng(5)
    last = model.layers[-1]
    last.set_weights([rng.normal(0, 0.3, weights.shape) for weights in last.get_weights()])
    model.save(mine)
    after = make_explainer(CompileCache(tmp_path / "kept"), mine).prepare(INFO).executable(random_images(2))
    assert len(loads) == 2
    assert not np.allclose(before.scores, after.scores)


@pytest.mark.slow
def test_a_model_that_changes_while_it_is_used_never_gets_the_name_of_the_new_one(
    tmp_path: Path, file: Path, loads: list[Any]
) -> None:
    mine, other = tmp_path / "mine.keras", tmp_path / "other.keras"
    mine.write_bytes(file.read_bytes())
    models.functional().save(other)
    running = make_explainer(CompileCache(tmp_path / "kept"), mine)
    other.replace(mine)
    old = running.prepare(INFO).executable(random_images(2))  # of the model that was loaded
    new = make_explainer(CompileCache(tmp_path / "kept"), mine).prepare(INFO).executable(random_images(2))
    assert len(loads) == 2
    assert not np.allclose(old.scores, new.scores)
    np.testing.assert_array_equal(
        make_explainer(CompileCache(tmp_path / "kept"), mine).prepare(INFO).executable(random_images(2)).scores,
        new.scores,
    )


def test_a_model_that_changes_before_it_is_loaded_is_refused(tmp_path: Path, file: Path) -> None:
    mine, other = tmp_path / "mine.keras", tmp_path / "other.keras"
    mine.write_bytes(file.read_bytes())
    models.functional().save(other)
    make_explainer(CompileCache(tmp_path / "kept"), mine)
    waiting = make_explainer(CompileCache(tmp_path / "kept"), mine)  # knows it from the store
    other.replace(mine)
    with pytest.raises(ModelError, match="has changed"):
        waiting.prepare(INFO)


def test_a_file_copied_with_its_time_is_another(tmp_path: Path, file: Path) -> None:
    mine = tmp_path / "mine.keras"
    mine.write_bytes(file.read_bytes())
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


def test_a_model_whose_name_begins_with_a_space_is_recognised(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Path(" m.keras")
    for count in (1, 2):
        mine.write_bytes(file.read_bytes())
        make_explainer(CompileCache(tmp_path / "kept"), mine)
        assert len(loads) == count


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


@pytest.mark.slow
def test_a_plan_with_an_empty_graph_is_made_anew(tmp_path: Path, file: Path, loads: list[Any]) -> None:
    result = make_explainer(CompileCache(tmp_path), file).prepare(INFO).executable(random_images(2))
    for entry in tmp_path.glob("*.zip"):
        with zipfile.ZipFile(entry) as old:
            held = {name: old.read(name) for name in old.namelist()}

        def write(file: Any, held: dict[str, bytes] = held) -> None:
            with zipfile.ZipFile(file, "w") as new:
                for name, data in held.items():
                    new.writestr(name, b"" if name == "first.pb" else data)

        PrivateFolder(tmp_path).write(entry.name, write)
    again = make_explainer(CompileCache(tmp_path), file).prepare(INFO).executable(random_images(2))
    np.testing.assert_array_equal(result.maps, again.maps)
    assert len(loads) == 2


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"method": "hirescam"}, {"layer": "linear"}, {"batch": 1}])
def test_other_options_are_other_entries(tmp_path: Path, file: Path, loads: list[Any], other: Any) -> None:
    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    make_explainer(CompileCache(tmp_path), file, **other).prepare(INFO)
    assert len(loads) == 2


@pytest.mark.slow
def test_another_class_is_the_same_entry(tmp_path: Path, file: Path, loads: list[Any]) -> None:
    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    make_explainer(CompileCache(tmp_path), file, target=("1", "0 - 1")).prepare(INFO)
    assert len(loads) == 1


@pytest.mark.slow
def test_other_software_is_another_entry(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    monkeypatch.setattr(stored.tf, "__version__", "9.9.9")
    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    assert len(loads) == 2


def test_another_cpu_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CompileCache(tmp_path)
    before = store.cache_key("x")
    assert before == store.cache_key("x") != store.cache_key("y")
    monkeypatch.setattr(fingerprint, "_cpu_fingerprint", lambda: ["model name\t: another"])
    assert store.cache_key("x") != before


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [b"", b"PK\x03\x04 torn", None], ids=["empty", "torn", "damaged inside"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, file: Path, loads: list[Any], wrong: bytes | None) -> None:
    result = make_explainer(CompileCache(tmp_path), file).prepare(INFO).executable(random_images(2))
    for entry in tmp_path.glob("*.zip"):
        data = entry.read_bytes()
        half = len(data) // 2
        entry.write_bytes(
            data[:half] + bytes(b ^ 255 for b in data[half : half + 64]) + data[half + 64 :] if wrong is None else wrong
        )
    again = make_explainer(CompileCache(tmp_path), file).prepare(INFO).executable(random_images(2))
    np.testing.assert_array_equal(result.maps, again.maps)
    assert len(loads) == 2
    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    assert len(loads) == 2


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


@pytest.mark.slow
@pytest.mark.parametrize("packed_as", [8, 99, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (1, 12, 14))])
def test_what_is_said_to_be_packed_otherwise_is_made_anew(
    tmp_path: Path, file: Path, loads: list[Any], packed_as: int
) -> None:
    result = make_explainer(CompileCache(tmp_path), file).prepare(INFO).executable(random_images(2))
    for entry in tmp_path.glob("*.zip"):
        data = bytearray(entry.read_bytes())
        data[data.rindex(b"PK\x01\x02") + 10] = packed_as
        entry.write_bytes(data)
    again = make_explainer(CompileCache(tmp_path), file).prepare(INFO).executable(random_images(2))
    np.testing.assert_array_equal(result.maps, again.maps)
    assert len(loads) == 2


@pytest.mark.slow
def test_what_cannot_be_changed_is_read(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    for call in ("utime", "unlink", "replace", "mkdir"):
        monkeypatch.setattr(os, call, refuse)
    make_explainer(CompileCache(tmp_path), file).prepare(INFO)
    assert len(loads) == 1


# Only this user can have written an entry


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


@pytest.mark.slow
def test_what_lives_in_this_process_only_is_not_kept(tmp_path: Path) -> None:
    store = CompileCache(tmp_path)
    model = models.functional()
    FrameExplainer(ModelOptions(model=model, preprocess="0..1"), ExplainOptions(), store).prepare(INFO)
    FrameExplainer(ModelOptions(model="tests.engine.models:functional"), ExplainOptions(), store).prepare(INFO)
    assert store.cache_key(lambda x: x) == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, file: Path) -> None:
    (tmp_path / "file").touch()
    assert (
        make_explainer(CompileCache(tmp_path / "file" / "below"), file)
        .prepare(INFO)
        .executable(random_images(1))
        .maps.any()
    )


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
