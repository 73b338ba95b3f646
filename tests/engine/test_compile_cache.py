"""What is kept for the next run: found again only where nothing has changed, and never a reason to fail."""

from __future__ import annotations

import errno
import os
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.engine import explainer as engine
from streamcam.engine.explainer import FrameExplainer
from streamcam.engine.runtime import compile_cache as stored
from streamcam.engine.runtime.compile_cache import CompileCache
from streamcam.engine.runtime.private_folder import PrivateFolder
from streamcam.errors import ModelError
from streamcam.frames import SourceInfo
from streamcam.options import ExplainOptions, ModelOptions
from streamcam.tf import keras

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


def test_a_model_whose_name_begins_with_a_space_is_recognised(
    tmp_path: Path, file: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Path(" m.keras")
    for count in (1, 2):
        mine.write_bytes(file.read_bytes())
        make_explainer(CompileCache(tmp_path / "kept"), mine)
        assert len(loads) == count


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
