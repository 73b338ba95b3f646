"""What is kept for the next run: found again only where nothing has changed, and never a reason to fail."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.config import ExplainOptions, ModelOptions
from streamcam.engine import explainer as engine
from streamcam.engine import store as stored
from streamcam.engine.explainer import StreamExplainer
from streamcam.engine.store import Store
from streamcam.errors import ModelError
from streamcam.frames import SourceInfo
from streamcam.models import labels
from streamcam.models.backend import keras
from streamcam.models.foreign import file_named

from . import models
from .models import HEIGHT, WIDTH
from .test_kernel import pictures

INFO = SourceInfo("x", WIDTH, HEIGHT, "yuv420p", Fraction(1, 25), frames=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    models.functional().save(path)
    return path


def explainer_of(store: Store, file: Path, **options: Any) -> StreamExplainer:
    return StreamExplainer(
        ModelOptions(model=str(file), preprocess="0..1"), ExplainOptions(**{"precision": "float32", **options}), store
    )


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each loading of a model."""
    seen: list[Any] = []
    real = engine.load_model
    monkeypatch.setattr(engine, "load_model", lambda options: seen.append(options.model) or real(options))
    return seen


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
    first = explainer_of(Store(tmp_path), file, method=method, params=params)
    look = first.view(INFO).kernel(pictures(2))
    assert len(loads) == 1
    second = explainer_of(Store(tmp_path), file, method=method, params=params)
    again = second.view(INFO).kernel(pictures(2))
    assert len(loads) == 1
    for name in ("maps", "classes", "scores", "probabilities", "top_classes", "top_probabilities"):
        np.testing.assert_array_equal(getattr(look, name), getattr(again, name))
    assert look.figures.keys() == again.figures.keys()
    assert second.notes == first.notes
    assert second.info.labels == first.info.labels
    assert second.geometry(INFO) == first.geometry(INFO)


def test_a_model_that_was_trained_on_is_seen_anew(tmp_path: Path, file: Path, loads: list[Any]) -> None:
    mine = tmp_path / "mine.keras"
    mine.write_bytes(file.read_bytes())
    before = explainer_of(Store(tmp_path / "kept"), mine).view(INFO).kernel(pictures(2))
    model = keras.models.load_model(mine)
    rng = np.random.default_rng(5)
    last = model.layers[-1]
    last.set_weights([rng.normal(0, 0.3, weights.shape) for weights in last.get_weights()])
    model.save(mine)
    after = explainer_of(Store(tmp_path / "kept"), mine).view(INFO).kernel(pictures(2))
    assert len(loads) == 2
    assert not np.allclose(before.scores, after.scores)


def test_a_model_that_changes_while_it_is_used_never_gets_the_name_of_the_new_one(
    tmp_path: Path, file: Path, loads: list[Any]
) -> None:
    mine, other = tmp_path / "mine.keras", tmp_path / "other.keras"
    mine.write_bytes(file.read_bytes())
    models.functional().save(other)
    running = explainer_of(Store(tmp_path / "kept"), mine)
    other.replace(mine)
    old = running.view(INFO).kernel(pictures(2))  # of the model that was loaded
    new = explainer_of(Store(tmp_path / "kept"), mine).view(INFO).kernel(pictures(2))
    assert len(loads) == 2
    assert not np.allclose(old.scores, new.scores)
    np.testing.assert_array_equal(
        explainer_of(Store(tmp_path / "kept"), mine).view(INFO).kernel(pictures(2)).scores, new.scores
    )


def test_a_model_that_changes_before_it_is_loaded_is_refused(tmp_path: Path, file: Path) -> None:
    mine, other = tmp_path / "mine.keras", tmp_path / "other.keras"
    mine.write_bytes(file.read_bytes())
    models.functional().save(other)
    explainer_of(Store(tmp_path / "kept"), mine)
    waiting = explainer_of(Store(tmp_path / "kept"), mine)  # knows it from the store
    other.replace(mine)
    with pytest.raises(ModelError, match="has changed"):
        waiting.view(INFO)


def test_a_file_copied_with_its_time_is_another(tmp_path: Path, file: Path) -> None:
    mine = tmp_path / "mine.keras"
    mine.write_bytes(file.read_bytes())
    store = Store(tmp_path)
    before, found = store.key(str(mine)), mine.stat()
    data = bytearray(mine.read_bytes())
    data[-1] ^= 1
    mine.write_bytes(data)
    os.utime(mine, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert mine.stat().st_mtime_ns == found.st_mtime_ns
    assert store.key(str(mine)) != before


@pytest.mark.parametrize("name", [" names.txt", "names.txt ", "~/names.txt", " .npy", Path(" names.txt")])
def test_a_file_is_recognised_by_the_name_it_is_opened_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    store, path = Store(tmp_path / "kept"), file_named(name)
    path.write_text("cat\ndog\n")
    before = store.key(name)
    assert labels.named(name, 2, "m") == ("cat", "dog")
    path.write_text("dog\ncat\n")
    assert labels.named(name, 2, "m") == ("dog", "cat")
    assert store.key(name) != before


def test_a_model_whose_name_begins_with_a_space_is_recognised(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Path(" m.keras")
    for count in (1, 2):
        mine.write_bytes(file.read_bytes())
        explainer_of(Store(tmp_path / "kept"), mine)
        assert len(loads) == count


def test_a_function_with_spaces_around_it_is_one(tmp_path: Path) -> None:
    assert Store(tmp_path).key(" tests.engine.models:functional ") == ""


def test_a_saved_model_is_its_files_also_behind_links(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "model"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (elsewhere / "variables.data").write_bytes(b"one")
    (folder / "variables").symlink_to(elsewhere, target_is_directory=True)
    store = Store(tmp_path / "kept")
    before = store.key(str(folder))
    assert store.key(str(folder)) == before
    (elsewhere / "variables.data").write_bytes(b"three")
    assert store.key(str(folder)) != before


def test_a_plan_with_an_empty_graph_is_made_anew(tmp_path: Path, file: Path, loads: list[Any]) -> None:
    look = explainer_of(Store(tmp_path), file).view(INFO).kernel(pictures(2))
    for entry in tmp_path.glob("*.zip"):
        with zipfile.ZipFile(entry) as old:
            held = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(entry, "w") as new:
            for name, data in held.items():
                new.writestr(name, b"" if name == "first.pb" else data)
    again = explainer_of(Store(tmp_path), file).view(INFO).kernel(pictures(2))
    np.testing.assert_array_equal(look.maps, again.maps)
    assert len(loads) == 2


@pytest.mark.parametrize("other", [{"method": "hirescam"}, {"layer": "linear"}, {"target": ("1",)}, {"batch": 1}])
def test_other_options_are_other_entries(tmp_path: Path, file: Path, loads: list[Any], other: Any) -> None:
    explainer_of(Store(tmp_path), file).view(INFO)
    explainer_of(Store(tmp_path), file, **other).view(INFO)
    assert len(loads) == 2


def test_other_software_is_another_entry(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer_of(Store(tmp_path), file).view(INFO)
    monkeypatch.setattr(stored.tf, "__version__", "9.9.9")
    explainer_of(Store(tmp_path), file).view(INFO)
    assert len(loads) == 2


def test_another_processor_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    before = store.key("x")
    assert before == store.key("x") != store.key("y")
    monkeypatch.setattr(stored, "_processor", lambda: ["model name\t: another"])
    assert store.key("x") != before


@pytest.mark.parametrize("wrong", [b"", b"PK\x03\x04 torn", None], ids=["empty", "torn", "damaged inside"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, file: Path, loads: list[Any], wrong: bytes | None) -> None:
    look = explainer_of(Store(tmp_path), file).view(INFO).kernel(pictures(2))
    for entry in tmp_path.glob("*.zip"):
        data = entry.read_bytes()
        half = len(data) // 2
        entry.write_bytes(
            data[:half] + bytes(b ^ 255 for b in data[half : half + 64]) + data[half + 64 :] if wrong is None else wrong
        )
    again = explainer_of(Store(tmp_path), file).view(INFO).kernel(pictures(2))
    np.testing.assert_array_equal(look.maps, again.maps)
    assert len(loads) == 2
    explainer_of(Store(tmp_path), file).view(INFO)
    assert len(loads) == 2


def damaged_headers(entry: bytes) -> Iterator[tuple[str, bytes]]:
    """An entry with each bit wrong of what zipfile goes by: the last file's line in the list, and its own header."""
    last = entry.rindex(b"PK\x01\x02")
    own = entry.rindex(b"PK\x03\x04", 0, last)
    for place in (*range(last, len(entry)), *range(own, own + 30)):
        for bit in range(8):
            wrong = bytearray(entry)
            wrong[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", bytes(wrong)


def test_whatever_bit_of_an_entry_is_wrong_it_is_right_or_gone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.keep_finding(store.key("x"), "all well")
    (path,) = tmp_path.iterdir()
    for where, wrong in damaged_headers(path.read_bytes()):
        path.write_bytes(wrong)
        found = store.finding(store.key("x"))
        assert found == "all well" or (found is None and not path.exists()), where


@pytest.mark.parametrize("packed_as", [1, 8, 12, 14, 99])
def test_what_is_said_to_be_packed_otherwise_is_made_anew(
    tmp_path: Path, file: Path, loads: list[Any], packed_as: int
) -> None:
    look = explainer_of(Store(tmp_path), file).view(INFO).kernel(pictures(2))
    for entry in tmp_path.glob("*.zip"):
        data = bytearray(entry.read_bytes())
        data[data.rindex(b"PK\x01\x02") + 10] = packed_as
        entry.write_bytes(data)
    again = explainer_of(Store(tmp_path), file).view(INFO).kernel(pictures(2))
    np.testing.assert_array_equal(look.maps, again.maps)
    assert len(loads) == 2


def test_what_cannot_be_changed_is_read(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    explainer_of(Store(tmp_path), file).view(INFO)
    for call in ("utime", "unlink", "replace", "mkdir"):
        monkeypatch.setattr(os, call, refused)
    explainer_of(Store(tmp_path), file).view(INFO)
    assert len(loads) == 1


def test_an_entry_that_may_not_be_read_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    key = store.key("x")
    store.keep_finding(key, "theirs")
    (path,) = tmp_path.iterdir()
    path.chmod(0)
    before, really = path.stat(), io.open

    def opened(name: Any, *how: Any, **more: Any) -> Any:
        if not isinstance(name, int) and Path(name) == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(name, *how, **more)

    # Whoever runs the tests may be allowed to read everything.
    with monkeypatch.context() as patch:
        patch.setattr(io, "open", opened)
        patch.setattr(os, "access", lambda *_: False)
        assert store.finding(key) is None
        store.keep_finding(key, "ours")
    assert path.stat().st_ino == before.st_ino
    path.chmod(0o600)
    assert store.finding(key) == "theirs"


def test_what_lives_in_this_process_only_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    model = models.functional()
    StreamExplainer(ModelOptions(model=model, preprocess="0..1"), ExplainOptions(), store).view(INFO)
    StreamExplainer(ModelOptions(model="tests.engine.models:functional"), ExplainOptions(), store).view(INFO)
    assert store.key(lambda x: x) == ""
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, file: Path) -> None:
    (tmp_path / "file").touch()
    assert explainer_of(Store(tmp_path / "file" / "below"), file).view(INFO).kernel(pictures(1)).maps.any()


def test_nothing_is_kept_where_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCAM_CACHE", "off")
    assert Store().key("x") == ""


def test_the_oldest_entries_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGEST", 1500)
    names = [f"{age:032x}" for age in (3, 2, 1)]
    for age, name in enumerate(reversed(names), 1):
        old = tmp_path / f"{name}.zip"
        old.write_bytes(bytes(600))
        os.utime(old, (1000 - age, 1000 - age))
    store = Store(tmp_path)
    key = store.key("x")
    store._write(key, {"info.json": b"{}"})
    assert sorted(path.stem for path in tmp_path.glob("*.zip")) == sorted([*names[1:], key])


def test_nothing_but_entries_ever_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGEST", 0)
    key = "0123456789abcdef" * 2
    mine = ["photographs.zip", "new-year.mp4", "new-", f"{key}1.zip", f"{key.upper()}.zip", f"{key}.zip.txt"]
    theirs = [f"{key}.zip", f"{key}.zip.a_b0c1d2.unfinished"]
    for name in (*mine, *theirs):
        (tmp_path / name).write_bytes(bytes(600))
        os.utime(tmp_path / name, (1000, 1000))
    store = Store(tmp_path)
    store._write(store.key("x"), {"info.json": b"{}"})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_an_entry_that_was_never_finished_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: None)
        store.keep_finding(store.key("x"), "all well")
    (left,) = tmp_path.iterdir()
    store.keep_finding(store.key("y"), "all well")
    assert left.exists()
    os.utime(left, (1000, 1000))
    store.keep_finding(store.key("y"), "all well")
    assert not left.exists()
