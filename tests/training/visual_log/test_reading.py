"""What functions return, as `streamcam inspect` reads it: pairs, endless streams, lists, labels of every kind."""

from __future__ import annotations

import itertools
import logging
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from streamcam.errors import SourceError, StreamcamError
from streamcam.options import InspectOptions
from streamcam.tf import keras, tf
from streamcam.training import VisualLog
from streamcam.training.visual_log.reading import inspect_source

from .pipelines import CLASSES, scenes, write_folder

X, Y = scenes(24, 24, 32)
MASKS = (X.mean(-1) > 128).astype(np.uint8)
NAMES = np.array(["dog", "ant", "cat", "bee"])[Y]
PAIRS = list(zip(X, Y, strict=True))
LABELS = dict.fromkeys(range(CLASSES), 6)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., VisualLog]:
    def call(function: Any, **options: Any) -> VisualLog:
        module = types.ModuleType("pipeline_of_a_test")
        module.load = function if callable(function) else lambda: function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return inspect_source(f"{module.__name__}:load", options=InspectOptions(**options))

    return call


def counts(log: VisualLog) -> dict[str, int]:
    return {stage.name: stage.count for stage in log.stages()}


def slices(*parts: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts)


def endless(elements: Any, seed: int | None = None) -> Iterator[Any]:
    order = np.arange(len(elements))
    while True:
        if seed is not None:
            np.random.default_rng(seed).shuffle(order)
            seed += 1
        yield from (elements[number] for number in order)


@pytest.mark.parametrize("batch", [1, 5, 24])
def test_one_pass_of_an_endless_generator_is_read(read: Any, batch: int) -> None:
    elements = [(X[n : n + batch], Y[n : n + batch]) for n in range(0, 24, batch)]
    log = read(lambda: endless(elements))
    assert counts(log) == {"input": 24}
    assert log.faults() == ()
    assert log.stages()[0].labels == LABELS


def test_shuffled_passes_are_no_duplicates(read: Any) -> None:
    log = read(lambda: endless(PAIRS, seed=1), limit=120)
    assert counts(log) == {"input": 120}
    assert log.faults() == ()


def test_copies_in_a_generator_that_ends_are_duplicates(read: Any) -> None:
    log = read(lambda: iter([*PAIRS, *PAIRS[:7]]))
    assert counts(log) == {"input": 31}
    assert [(fault.name, fault.count) for fault in log.faults()] == [("duplicate", 7)]


def test_a_tap_records_one_pass_of_an_endless_generator() -> None:
    log = VisualLog()
    assert len(list(itertools.islice(log.tap("a")(endless(PAIRS)), 100))) == 100
    assert counts(log) == {"a": 24}
    assert log.faults() == ()


def half(data: Any, first: bool) -> Any:
    return data[:16] if first else data[16:]


XY = [(half(X, one), half(Y, one)) for one in (True, False)]
SPLITS = {
    "pairs": lambda: tuple(XY),
    "list of pairs": lambda: list(XY),
    "four arrays": lambda: (*XY[0], *XY[1]),
    "four arrays, inputs first": lambda: (XY[0][0], XY[1][0], XY[0][1], XY[1][1]),
    "data sets": lambda: tuple(slices(*one).batch(4) for one in XY),
    "list of data sets": lambda: [slices(*one).batch(4) for one in XY],
    "three data sets": lambda: (*(slices(*one).batch(4) for one in XY), slices(*XY[1])),
    "data set and arrays": lambda: (slices(*XY[0]), XY[1]),
    "pairs with masks": lambda: ((X[:16], MASKS[:16]), (X[16:], MASKS[16:])),
    "pairs of lists": lambda: tuple((list(x), y.tolist()) for x, y in XY),
    "two arrays of different lengths": lambda: (X[:16], X[16:]),
    "mapping": lambda: {"train": XY[0], "val": XY[1]},
}


@pytest.mark.parametrize("result", SPLITS.values(), ids=SPLITS.keys())
def test_training_and_validation(read: Any, result: Any) -> None:
    assert counts(read(result)) == {"input": 16, "validation input": 8}


def test_both_subsets_of_a_keras_directory(read: Any, tmp_path: Any) -> None:
    write_folder(tmp_path, X, Y)
    options = {"validation_split": 0.25, "subset": "both", "seed": 1, "verbose": False, "image_size": (24, 32)}
    log = read(lambda: keras.utils.image_dataset_from_directory(tmp_path, **options))
    assert counts(log) == {"files": 18, "input": 18, "validation files": 6, "validation input": 6}
    assert log.faults() == ()


ONE_SET = {
    "masks": (lambda: (X, MASKS), {}),
    "masks with a channel": (lambda: (X, MASKS[..., None]), {}),
    "autoencoder": (lambda: (X, X), {}),
    "masks in a data set": (lambda: slices(X, MASKS[..., None]).batch(9), {}),
    "lists": (lambda: (list(X), Y.tolist()), LABELS),
    "list of images": (lambda: list(X), {}),
    "list of pairs": (lambda: PAIRS, LABELS),
    "arrays and none": (lambda: ((X, Y), None), LABELS),
    "several classes an image": (lambda: (X, np.eye(4, dtype=int)[Y] | np.eye(4, dtype=int)[Y[::-1]]), {}),
    "several classes, one by one": (lambda: slices(X, np.eye(4, dtype=int)[Y] | np.eye(4, dtype=int)[Y[::-1]]), {}),
    "boxes": (lambda: (X, np.random.default_rng(0).random((24, 4))), {}),
    "one-hot": (lambda: (X, np.eye(4)[Y] * 0.9 + 0.025), LABELS),
    "names": (lambda: (X, NAMES), {0: 6, 1: 6, 2: 6, 3: 6}),
    "outputs by name": (lambda: slices(X, {"box": np.ones((24, 4)), "cls": Y}).batch(5), LABELS),
    "numbers beside the image": (lambda: slices((np.ones((24, 5)), X), Y).batch(5), LABELS),
}


@pytest.mark.parametrize(("result", "labels"), ONE_SET.values(), ids=ONE_SET.keys())
def test_images_with_targets_are_one_data_set(read: Any, result: Any, labels: Any) -> None:
    log = read(result)
    assert counts(log) == {"input": 24}
    assert log.stages()[0].labels == labels
    assert log.faults() == ()


def test_what_is_not_used_is_told_once(read: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="streamcam"):
        read(lambda: slices(X, MASKS).batch(5))
    assert [one.getMessage() for one in caplog.records] == [
        "stage input: not used: labels that are images, with shape (5, 24, 32) for 5 images"
    ]


def test_names_are_numbered_in_the_order_of_the_alphabet(read: Any) -> None:
    evidence = read(lambda: slices(X, NAMES).batch(5)).evidence()
    assert evidence.class_names == ("ant", "bee", "cat", "dog")
    assert [evidence.class_names[one.label or 0] for one in evidence.stages[0].samples] == NAMES.tolist()


def test_names_and_indices_are_not_compared_unless_the_classes_are_known() -> None:
    for names, kept in ((), False), (("dog", "ant", "cat", "bee"), True):
        log = VisualLog(class_names=names)
        log.record("loaded", X, NAMES)
        log.record("encoded", X, Y)
        assert (bool(log.stages()[0].labels), log.faults()) == (kept, ())


@pytest.mark.parametrize("array", [np.ones((10, 5)), np.ones((40, 5), np.float32)])
def test_a_table_is_no_image(read: Any, array: Any) -> None:
    with pytest.raises(StreamcamError, match=r"a stage passed an array \(\d+, 5\)"):
        read(lambda: array)
    with pytest.raises(StreamcamError, match=r"a stage passed an array \(24, 20\)"):
        read(lambda: (np.ones((24, 20)), Y))


def test_elements_without_images_are_counted(read: Any, caplog: pytest.LogCaptureFixture) -> None:
    log = read(lambda: iter([X[0], np.ones(3), X[1]]))
    assert counts(log) == {"input": 2}
    assert "stage input: 1 element without an image, such as: a stage passed an array (3,)" in caplog.text


@pytest.mark.parametrize("label", [2**62, 2.0**70, np.nan, -7])
def test_an_impossible_label_is_no_failure(label: float) -> None:
    images, classes = scenes(48, 24, 24)
    log = VisualLog()
    log.record("a", images, np.where(np.arange(48) == 3, label, classes))
    assert {fault.name for fault in log.faults()} <= {"label-shift", "imbalance"}
    assert log.stages()[0].count == 48


def test_the_limit_is_exact(read: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="streamcam"):
        log = read(lambda: slices(X, Y).batch(5), limit=12)
        assert (counts(log), log.stages()[0].is_complete) == ({"input": 12}, False)
        assert "reading stops after 12 images" in caplog.text
        caplog.clear()
        log = read(lambda: slices(X, Y).batch(5), limit=24)
    assert (counts(log), log.stages()[0].is_complete, caplog.text) == ({"input": 24}, True, "")


def test_a_stream_that_fails_keeps_what_was_read(read: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Any]:
        yield from PAIRS[:5]
        raise ValueError("no such disk")

    log = read(broken)
    assert (counts(log), log.stages()[0].is_complete) == ({"input": 5}, False)
    assert "stage input: reading failed after 5 images: ValueError: no such disk" in caplog.text


def test_a_function_with_taps_may_return_nothing(read: Any) -> None:
    def load(log: VisualLog) -> None:
        for _ in slices(X, Y).apply(log.tap("loaded")):
            pass

    assert counts(read(load)) == {"loaded": 24}
    with pytest.raises(SourceError, match="returned None; expected a data set"):
        read(lambda: None)


def test_a_tap_tells_the_files_of_a_keras_directory(read: Any, tmp_path: Any) -> None:
    images, labels = scenes(16, 48, 48)
    write_folder(tmp_path, images, labels)

    def load(log: VisualLog) -> Any:
        data = keras.utils.image_dataset_from_directory(tmp_path, image_size=(48, 48), verbose=False)
        return data.apply(log.tap("loaded")).map(lambda x, y: (x[..., ::-1] / 255, y))

    log = read(load)
    assert counts(log) == {"files": 16, "loaded": 16, "input": 16}
    assert log.class_names == ("a", "b", "c", "d")
    assert [fault.name for fault in log.faults()] == ["bgr"]
