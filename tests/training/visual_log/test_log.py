"""`VisualLog`: every kind of pipeline, bounded memory, the same samples at each stage, logging."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamcam.errors import OptionError, StreamcamError
from streamcam.models.model_files import load_file
from streamcam.tf import keras, tf
from streamcam.training import VisualLog
from streamcam.training.visual_log import recorder
from streamcam.training.visual_log.checks import CHECKS

from .pipelines import CLASSES, scenes

L = keras.layers
IMAGES, LABELS = scenes(12, 40, 48)


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return IMAGES[4 * index : 4 * index + 4], LABELS[4 * index : 4 * index + 4]


def slices(*parts: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


def consume(data: Any) -> Any:
    return list(data)


FEEDS = {
    "images": lambda tap: consume(slices(IMAGES).apply(tap)),
    "pairs": lambda tap: consume(slices(IMAGES, LABELS).apply(tap)),
    "batches": lambda tap: consume(slices(IMAGES, LABELS).batch(5).apply(tap)),
    "dicts": lambda tap: consume(slices({"image": IMAGES, "label": LABELS, "id": LABELS}).batch(5).apply(tap)),
    "one-hot": lambda tap: consume(slices(IMAGES, np.eye(CLASSES, dtype=np.float32)[LABELS]).apply(tap)),
    "wrapped function": lambda tap: consume(slices(IMAGES, LABELS).map(lambda x, y: tap(lambda a: a)((x, y)))),
    "arrays": lambda tap: tap((IMAGES, LABELS)),
    "array": lambda tap: tap(IMAGES),
    "list": lambda tap: tap(list(IMAGES)),
    "channels first": lambda tap: tap(np.moveaxis(IMAGES, -1, 1)),
    "generator": lambda tap: consume(tap((IMAGES[n : n + 3], LABELS[n : n + 3]) for n in range(0, 12, 3))),
    "py-dataset": lambda tap: consume(tap(Batches())[n] for n in range(3)),
    "layer": lambda tap: keras.Sequential([L.Rescaling(1.0), tap])(IMAGES),
    "wrapped layer": lambda tap: tap(L.Rescaling(1.0))(IMAGES),
    "functional": lambda tap: keras.Model(i := keras.Input((40, 48, 3)), tap(i)).predict(IMAGES, verbose=0),
}


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS.keys())
def test_every_kind_of_pipeline_is_recorded(feed: Any) -> None:
    log = VisualLog()
    feed(log.tap("stage"))
    (stage,) = log.stages()
    assert stage.count == 12
    assert stage.shapes == {(40, 48, 3): 12}
    assert stage.range == (IMAGES.min(), IMAGES.max())
    np.testing.assert_allclose(stage.mean, IMAGES.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(np.stack([one.image for one in stage.samples]), IMAGES)
    if stage.labels:
        assert stage.labels == dict.fromkeys(range(CLASSES), 3)
        assert [one.label for one in stage.samples] == LABELS.tolist()


def test_elements_pass_unchanged() -> None:
    log = VisualLog()
    data = slices(IMAGES, LABELS).batch(5)
    tapped = data.apply(log.tap("a"))
    assert tapped.element_spec == data.element_spec
    assert int(tapped.cardinality()) == 3
    for (x, y), (a, b) in zip(data, tapped, strict=True):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)


def test_fit_records_each_image_once() -> None:
    log = VisualLog()
    model = keras.Sequential([keras.Input((40, 48, 3)), L.Rescaling(1 / 255), L.GlobalAveragePooling2D(), L.Dense(4)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(slices(IMAGES, LABELS).shuffle(12).batch(4).apply(log.tap("batch")), epochs=3, verbose=0)
    assert [stage.count for stage in log.stages()] == [12]
    assert log.faults() == ()


def test_a_model_with_a_tap_saves_and_loads(tmp_path: Path) -> None:
    log = VisualLog()
    model = keras.Sequential(
        [keras.Input((40, 48, 3)), log.tap("in the model"), L.GlobalAveragePooling2D(), L.Dense(2)]
    )
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), rtol=1e-5)
    assert [stage.count for stage in log.stages()] == [12]


def test_streamcam_loads_a_model_with_a_tap_that_keras_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((40, 48, 3)), VisualLog().tap("a"), L.GlobalAveragePooling2D(), L.Dense(2)])
    monkeypatch.delitem(keras.saving.get_custom_objects(), "streamcam>Tap")
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        again = load_file(tmp_path / name)
        np.testing.assert_allclose(again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports", ["from streamcam.training import VisualLog; import keras", "import keras, streamcam.training"]
)
def test_keras_loads_a_model_with_a_tap_in_another_process(tmp_path: Path, imports: str) -> None:
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((4, 4, 3)), VisualLog().tap("a")]).save(path)
    code = f"{imports}; print(type(keras.models.load_model({str(path)!r}).layers[0]).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["Tap"], 0), done.stderr


def test_all_stages_keep_the_same_samples_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_RECORDS", 50)
    rng = np.random.default_rng(0)
    logs = [VisualLog(samples=5, seed=1), VisualLog(samples=5, seed=1), VisualLog(samples=5, seed=2)]
    for log in logs:
        for _ in range(10):
            batch = rng.integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
            log.record("a", batch)
            log.record("b", batch / np.float32(255))
    kept = [[sample.index for sample in stage.samples] for log in logs for stage in log.stages()]
    assert kept[0] == kept[1] == kept[2] != kept[4]
    assert {len(one) for one in kept} == {5}
    assert all(len(stage.records) == 50 and stage.count == 300 for log in logs for stage in log.stages())


def test_a_large_image_is_kept_small() -> None:
    log = VisualLog()
    log.record("a", np.zeros((1000, 1600, 3), np.uint8))
    assert log.stages()[0].samples[0].image.shape == (200, 320, 3)
    assert log.stages()[0].records[0].shape == (1000, 1600, 3)


def test_a_second_data_set_through_a_tap_is_validation_data(caplog: pytest.LogCaptureFixture) -> None:
    log = VisualLog()
    with caplog.at_level(logging.INFO, logger="streamcam"):
        for part in (slice(None), slice(5), slice(3)):
            consume(slices(IMAGES[part], LABELS[part]).batch(4).apply(log.tap("resized")))
        assert [(stage.name, stage.split, stage.count) for stage in log.stages()] == [
            ("resized", "train", 12),
            ("resized", "validation", 5),
        ]
    assert [fault.name for fault in log.faults()] == ["leak"]
    assert [record.getMessage()[:46] for record in caplog.records] == [
        "stage resized: a third data set passes it, and",
        "stage resized: its second data set is taken fo",
    ]


def test_a_data_set_that_is_built_again_is_the_same(caplog: pytest.LogCaptureFixture) -> None:
    log = VisualLog()
    with caplog.at_level(logging.INFO, logger="streamcam"):
        for _ in range(2):
            consume(slices(IMAGES, LABELS).shuffle(12).batch(4).apply(log.tap("resized")))
        assert [(stage.split, stage.count) for stage in log.stages()] == [("train", 12)]
    assert log.faults() == ()
    assert "taken for the same images again" in caplog.text


def test_elements_without_images_are_reported_and_pass(caplog: pytest.LogCaptureFixture) -> None:
    log = VisualLog()
    with caplog.at_level(logging.INFO, logger="streamcam"):
        assert len(consume(slices(np.arange(6)).apply(log.tap("numbers")))) == 6
        log.tap("words")(["a", "b"])
    assert log.stages() == ()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["stage numbers", "stage words"]


def test_the_report_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = VisualLog()
    images = IMAGES / np.float32(255)
    images[0] = np.nan
    log.record("scaled", images, LABELS)
    with caplog.at_level(logging.INFO, logger="streamcam"):
        log.report()
    stage, fault = caplog.records
    assert stage.getMessage().startswith("stage scaled: 12 images of 48x40x3, float32, 0")
    assert fault.levelname == "WARNING"
    assert fault.getMessage().startswith("nan, stage scaled: 1 image of 12")
    assert (fault.visual.name, stage.visual.count) == ("nan", 12)


def test_a_name_is_one_line_and_messages_are_for_python(tmp_path: Path) -> None:
    log = VisualLog()
    log.record("after\n resize", IMAGES)
    assert [stage.name for stage in log.stages()] == ["after resize"]
    log.save(tmp_path / "a.html")
    for name, message in [
        ("a.html", "a.html exists; use another name, or overwrite=True"),
        ("a.pdf", "invalid path .*a.pdf; expected a file that ends in .html"),
    ]:
        with pytest.raises(StreamcamError, match=message):
            log.save(tmp_path / name)


def test_the_dictionary_is_plain() -> None:
    log = VisualLog()
    log.record("scaled", np.full((3, 8, 8, 3), np.nan, np.float32))
    found = log.to_dict()
    assert found["faults"][0]["name"] == "nan"
    assert set(found["faults"][0]) == {"name", "stage", "words", "count"}
    assert (found["stages"][0]["low"], found["stages"][0]["count"]) == (None, 3)


def test_invalid_arguments() -> None:
    with pytest.raises(OptionError, match="invalid samples 0; expected 1 to 256"):
        VisualLog(samples=0)
    with pytest.raises(OptionError, match="unknown split 'test'"):
        VisualLog().tap("a", split="test")  # type: ignore[arg-type]
    for name in ("", " \n", 3, None):
        with pytest.raises(OptionError, match=r"invalid stage .*; expected a name"):
            VisualLog().tap(name)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"no image was recorded"):
        VisualLog().save("page.html")
    with pytest.raises(OptionError, match=r"a stage passed an array \(3,\)"):
        VisualLog().record("a", np.zeros(3))


def test_the_registry_names_every_fault_of_the_contract() -> None:
    assert set(CHECKS) == {
        *("bgr", "normalized-twice", "not-normalized", "wrong-range", "nan", "constant", "duplicate", "leak"),
        *("label-shift", "aspect", "imbalance", "augmentation"),
        "shortcut",
    }
