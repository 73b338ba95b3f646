"""Faults that only a comparison shows: mirrored copies, frames of a video, classes that a folder lacks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from streamcam.tf import keras
from streamcam.training import VisualLog

from .pipelines import CLASSES, scenes
from .test_faults import fault, names, small_model

L = keras.layers


def names_of(log: VisualLog, name: str) -> list[str]:
    return [
        one.words.split(":")[0].split(";")[0].removeprefix("the training data has ")
        for one in log.faults()
        if one.name == name
    ]


def test_a_second_step_to_minus_one_is_normalized_twice() -> None:
    images, labels = scenes()
    log = VisualLog()
    for number, name in enumerate(("scaled", "centred", "batch")):
        log.record(name, 2**number * (images / np.float32(255)) + 1 - 2**number, labels)
    assert [(one.name, one.stage) for one in log.faults()] == [("normalized-twice", "batch")]


def test_words_give_the_range_of_the_images_that_were_normalized_twice() -> None:
    images, labels = scenes()
    values = images / np.float32(255)
    values[:3] /= 255
    log = VisualLog()
    log.record("batch", values, labels)
    words = fault(log, "normalized-twice").words
    assert words.startswith("3 images of 32: values of 0 to 0.0039")


def test_an_augmentation_for_another_range_is_one_fault() -> None:
    """Keras' RandomBrightness takes 0 to 255 for granted: half of the images become black."""
    images, labels = scenes()
    scaled = images / np.float32(255)
    offsets = np.random.default_rng(0).uniform(-76, 76, (len(scaled), 1, 1, 1)).astype(np.float32)
    log = VisualLog()
    log.record("scaled", scaled, labels)
    log.record("brightness", np.clip(scaled + offsets, 0, 255), labels)
    assert names(log) == {"wrong-range"}


def mirror(image: np.ndarray) -> np.ndarray:
    return image[:, ::-1]


def test_mirrored_copies() -> None:
    (train, labels), (other, other_labels) = scenes(), scenes(seed=5)
    train[-2:] = [mirror(image) for image in train[:2]]
    other[0] = mirror(train[5])
    log = VisualLog()
    log.record("train", train, labels)
    log.record("validation", other, other_labels)
    assert "2 images of 32 compared are mirrored copies" in fault(log, "duplicate").words
    assert fault(log, "leak").count == 1


def numbered_frames(names: list[str]) -> VisualLog:
    """Sixteen frames of one camera, in the training or validation data as the names say."""
    wide, _ = scenes(1, 96, 176, seed=2)
    noise = np.random.default_rng(0).normal(0, 3, (len(names), 96, 96, 3))
    log = VisualLog()
    for number, split in enumerate(names):
        image = np.clip(wide[0][:, 5 * number : 5 * number + 96] + noise[number], 0, 255).astype(np.uint8)
        log.record(split, image[None], [0], paths=[f"bird/bird_{number:04}.jpg"])
    return log


@pytest.mark.parametrize(
    "splits",
    [["validation", "train", "train", "train"] * 4, ["train"] * 8 + ["validation"] * 8],
    ids=("fourth", "half"),
)
def test_leak_of_numbered_frames(splits: list[str]) -> None:
    assert fault(numbered_frames(splits), "leak").count == splits.count("validation")


def test_validation_folders_that_lack_a_class() -> None:
    for folders, words in (("bcd", "no image is in a class folder a"), ("abx", "no class folder x"), ("abc", "")):
        log = VisualLog()
        images, _ = scenes()
        log.record("train", images[:16], np.arange(16) % 4, paths=[f"{'abcd'[n % 4]}/{n}.png" for n in range(16)])
        paths = [f"{folders[n % 3]}/{n}.png" for n in range(12)]
        log.record("validation", images[16:28], np.arange(12) % 3, paths=paths)
        assert names_of(log, "label-shift") == ([words] if words else [])


@pytest.mark.parametrize(("labels", "words"), [([-1], "1 label of 32 is"), ([-1, -2], "2 labels of 32 are")])
def test_labels_that_are_no_index(labels: list[int], words: str) -> None:
    images, own = scenes()
    own[: len(labels)] = labels
    log = VisualLog()
    log.record("batch", images, own)
    assert fault(log, "label-shift").words.startswith(words)


def test_aspect_in_a_step_that_mirrors() -> None:
    images, labels = scenes(16, 96, 160)
    log = VisualLog()
    log.record("loaded", images, labels)
    resized = [np.asarray(Image.fromarray(mirror(image)).resize((96, 96))) for image in images]
    log.record("resized", np.stack(resized), labels)
    assert (fault(log, "aspect").count, names(log)) == (16, {"aspect"})


def test_one_cause_has_one_remedy() -> None:
    backbone = keras.Sequential([keras.Input((96, 96, 3)), L.Conv2D(2, 3)], name="resnet50v2")
    model = keras.Sequential([keras.Input((96, 96, 3)), backbone, L.GlobalAveragePooling2D(), L.Dense(CLASSES)])
    images, labels = scenes()
    scaling = small_model(L.Rescaling(1 / 255))
    for log, values in ((VisualLog(model=model), images), (VisualLog(model=scaling), images / np.float32(255))):
        log.record("batch", values.astype(np.float32), labels)
        faults = log.faults()
        assert len(faults) == 2
        assert len({one.words.rsplit("; ")[-1] for one in faults}) == 1
