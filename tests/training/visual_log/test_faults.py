"""Every classic fault is found, at three strengths."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from streamcam.tf import keras
from streamcam.training import VisualLog

from .pipelines import CLASSES, photos, scenes

L = keras.layers


def names(log: VisualLog) -> set[str]:
    return {fault.name for fault in log.faults()}


def fault(log: VisualLog, name: str) -> Any:
    found = [one for one in log.faults() if one.name == name]
    assert len(found) == 1, log.faults()
    return found[0]


def small_model(*scaling: Any, classes: int = CLASSES) -> Any:
    return keras.Sequential([keras.Input((96, 96, 3)), *scaling, L.Conv2D(4, 3), L.Flatten(), L.Dense(classes)])


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_bgr_against_the_stage_before(share: float) -> None:
    images, labels = scenes()
    log = VisualLog()
    log.record("loaded", images, labels)
    swapped = images.astype(np.float32) / 255
    count = int(share * len(images))
    swapped[:count] = swapped[:count, ..., ::-1]
    log.record("scaled", swapped, labels)
    found = fault(log, "bgr")
    assert (found.stage, names(log)) == ("scaled", {"bgr"})
    assert found.count == pytest.approx(count, abs=0.1 * count + 1)
    assert "cv2" in found.words


@pytest.mark.parametrize("count", [8, 16, 32])
def test_bgr_against_a_model_that_recognises_the_images(count: int) -> None:
    labels = np.arange(count) % 2
    images = scenes()[0][:count] // 4
    images[labels == 0, ..., 0] += 150
    images[labels == 1, ..., 2] += 150
    weights = np.array([[9.0, -9.0], [0.0, 0.0], [-9.0, 9.0]])
    inputs = keras.Input((96, 96, 3))
    dense = L.Dense(2, use_bias=False)
    model = keras.Model(inputs, dense(L.GlobalAveragePooling2D()(L.Rescaling(1 / 255)(inputs))))
    dense.set_weights([weights])
    untrained = keras.Sequential([keras.Input((96, 96, 3)), L.Rescaling(1 / 255), L.Flatten(), L.Dense(2)])
    untrained.layers[-1].set_weights([0.0001 * untrained.layers[-1].get_weights()[0], np.zeros(2)])
    log = VisualLog(model=model)
    log.record("batch", images[..., ::-1], labels)
    assert "bgr" in names(log)
    for right in (VisualLog(model=model), VisualLog(model=untrained)):
        right.record("batch", images, labels)
        assert names(right) == set()


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        (lambda x: x / 255, lambda x: x / 255),
        (lambda x: x / 127.5 - 1, lambda x: x / 127.5 - 1),
        (lambda x: (x / 255 - 0.45) / 0.225, lambda x: (x - 0.45) / 0.225),
    ],
)
def test_normalized_twice(once: Any, twice: Any) -> None:
    images, labels = scenes()
    log = VisualLog()
    log.record("loaded", images, labels)
    log.record("scaled", once(images.astype(np.float32)), labels)
    log.record("batch", twice(once(images.astype(np.float32))), labels)
    assert [(one.name, one.stage) for one in log.faults()] == [("normalized-twice", "batch")]


@pytest.mark.parametrize("scale", [lambda x: x / 255, lambda x: x / 127.5 - 1, lambda x: (x - 118) / 50])
def test_normalized_before_a_model_that_normalizes(scale: Any) -> None:
    images, labels = scenes()
    log = VisualLog(model=small_model(L.Rescaling(1 / 255)))
    log.record("batch", scale(images.astype(np.float32)), labels)
    assert "normalized-twice" in names(log)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_not_normalized(share: float) -> None:
    images, labels = scenes()
    values = images.astype(np.float32)
    count = int(share * len(values))
    values[count:] /= 255
    log = VisualLog(model=small_model())
    log.record("batch", values, labels)
    assert fault(log, "not-normalized").count == count


@pytest.mark.parametrize(
    ("family", "scale"),
    [("MobileNetV2", lambda x: x / 255), ("ResNet50", lambda x: x / 127.5 - 1), ("DenseNet121", lambda x: x / 255)],
)
def test_wrong_range_for_a_known_family(family: str, scale: Any) -> None:
    backbone = getattr(keras.applications, family)
    arguments = {"alpha": 0.35} if family == "MobileNetV2" else {}
    if family != "MobileNetV2":
        inner = keras.Sequential([keras.Input((96, 96, 3)), L.Conv2D(2, 3)], name=family.lower())
    else:
        inner = backbone(include_top=False, weights=None, input_shape=(96, 96, 3), **arguments)
    model = keras.Sequential([keras.Input((96, 96, 3)), inner, L.GlobalAveragePooling2D(), L.Dense(CLASSES)])
    images, labels = scenes()
    log = VisualLog(model=model)
    log.record("batch", scale(images.astype(np.float32)), labels)
    assert names(log) == {"wrong-range"}
    assert "expects" in fault(log, "wrong-range").words


@pytest.mark.parametrize("offset", [20, 60, 200])
def test_wrong_range_after_an_augmentation_for_another_range(offset: float) -> None:
    images, labels = scenes()
    scaled = images.astype(np.float32) / 255
    log = VisualLog()
    log.record("scaled", scaled, labels)
    rng = np.random.default_rng(0)
    log.record("brightness", scaled + rng.uniform(-offset, offset, (len(scaled), 1, 1, 1)).astype(np.float32), labels)
    assert fault(log, "wrong-range").stage == "brightness"


@pytest.mark.parametrize(("count", "value"), [(1, np.nan), (3, np.inf), (20, -np.inf)])
def test_nan(count: int, value: float) -> None:
    images, labels = scenes()
    values = images / np.float32(255)
    values[:count, 5, 5, 0] = value
    log = VisualLog()
    log.record("loaded", images, labels)
    log.record("scaled", values, labels)
    found = fault(log, "nan")
    assert (found.stage, found.count, names(log)) == ("scaled", count, {"nan"})


@pytest.mark.parametrize(("count", "noise"), [(1, 0), (4, 1), (16, 0)])
def test_constant(count: int, noise: int) -> None:
    images, labels = scenes()
    rng = np.random.default_rng(1)
    images[:count] = 90 + rng.integers(0, noise + 1, images[:count].shape)
    log = VisualLog()
    log.record("loaded", images, labels)
    assert (fault(log, "constant").count, names(log)) == (count, {"constant"})


def jpeg(image: np.ndarray, quality: int = 40) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


@pytest.mark.parametrize(("count", "copy"), [(1, np.array), (4, jpeg), (16, lambda x: np.clip(x * 0.9, 0, 255))])
def test_duplicate(count: int, copy: Any) -> None:
    images, labels = scenes()
    images[-count:] = [copy(image) for image in images[:count]]
    log = VisualLog()
    log.record("loaded", images, labels)
    assert fault(log, "duplicate").count == count
    assert names(log) == {"duplicate"}


@pytest.mark.parametrize(("count", "copy"), [(1, np.array), (4, jpeg), (16, np.array)])
def test_leak_of_images(count: int, copy: Any) -> None:
    (train, labels), (other, other_labels) = scenes(), scenes(seed=5)
    other[:count] = [copy(image) for image in train[:count]]
    log = VisualLog()
    log.record("train", train, labels)
    log.record("validation", other, other_labels)
    found = fault(log, "leak")
    assert (found.stage, found.count, names(log)) == ("validation", count, {"leak"})


def clips(shift: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Frames of eight videos, four a video, that move from frame to frame."""
    wide, _ = scenes(8, 96, 160, seed)
    frames = [wide[clip][:, n * shift : n * shift + 96] for clip in range(8) for n in range(4)]
    return np.stack(frames), np.arange(32) // 4


@pytest.mark.parametrize("shift", [1, 3, 6])
def test_leak_of_frames_of_one_video(shift: int) -> None:
    frames, clip = clips(shift)
    rng = np.random.default_rng(0)
    frames = np.clip(frames + rng.normal(0, 3, frames.shape), 0, 255).astype(np.uint8)
    log = VisualLog()
    log.record("train", frames[0::2], clip[0::2] % 2)
    log.record("validation", frames[1::2], clip[1::2] % 2)
    assert "leak" in names(log)
    apart = VisualLog()
    apart.record("train", frames[:16:4], clip[:16:4] % 2)
    apart.record("validation", frames[16::4], clip[16::4] % 2)
    assert "leak" not in names(apart)


@pytest.mark.parametrize("shift", [lambda y: y + 1, lambda y: np.roll(y, 1), lambda y: np.array([2, 0, 3, 1])[y]])
def test_label_shift_between_stages(shift: Any) -> None:
    images, labels = scenes()
    log = VisualLog()
    log.record("loaded", images, labels)
    log.record("batch", images / np.float32(255), shift(labels))
    assert fault(log, "label-shift").stage == "batch"


@pytest.mark.parametrize("classes", [2, 4, 8])
def test_labels_that_begin_with_one(classes: int) -> None:
    images, _ = scenes()
    log = VisualLog()
    log.record("batch", images, np.arange(len(images)) % classes + 1)
    assert "subtract 1" in fault(log, "label-shift").words
    known = VisualLog(num_classes=classes)
    known.record("batch", images, np.arange(len(images)) % classes + 1)
    assert fault(known, "label-shift").count == len(images)


@pytest.mark.parametrize("shift", [lambda y: (y + 1) % CLASSES, lambda y: np.array([1, 0, 3, 2])[y], lambda y: 3 - y])
def test_label_shift_against_the_model(shift: Any) -> None:
    labels = np.arange(32) % CLASSES
    images = scenes()[0] // 4
    for image, label in zip(images, labels, strict=True):
        image[:, 24 * label : 24 * label + 24] += 128
    inputs = keras.Input((96, 96, 3))
    x = L.AveragePooling2D((96, 24))(L.Rescaling(1 / 255)(inputs))
    x = L.Flatten()(L.Conv2D(1, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(6.0))(x))
    log = VisualLog(model=keras.Model(inputs, x))
    log.record("batch", images, shift(labels))
    assert "the model agrees with 0%" in fault(log, "label-shift").words
    right = VisualLog(model=keras.Model(inputs, x))
    right.record("batch", images, labels)
    assert names(right) == set()


@pytest.mark.parametrize("step", [1, -1, 2, 4])
def test_labels_shifted_against_images(step: int) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, 160)
    images = rng.normal(100, 20, (160, 32, 32, 3))
    for image, label in zip(images, labels, strict=True):
        image[8 * label : 8 * label + 8] += 90
    images = np.clip(images, 0, 255).astype(np.uint8)
    log = VisualLog()
    log.record("batch", images, np.roll(labels, step))
    assert names(log) == {"label-shift"}


@pytest.mark.parametrize("width", [120, 160, 240])
def test_aspect(width: int) -> None:
    images, labels = scenes(16, 96, width)
    log = VisualLog()
    log.record("loaded", images, labels)
    resized = np.stack([np.asarray(Image.fromarray(image).resize((96, 96))) for image in images])
    log.record("resized", resized, labels)
    found = fault(log, "aspect")
    assert (found.stage, found.count, names(log)) == ("resized", 16, {"aspect"})
    assert f"{width}x96 to 96x96" in found.words


@pytest.mark.parametrize("ratio", [4, 10, 50])
def test_imbalance(ratio: int) -> None:
    log = VisualLog()
    images, _ = scenes(8, 32, 32)
    counts = {0: 10 * ratio, 1: 10}
    rng = np.random.default_rng(0)
    for label, count in counts.items():
        some = np.clip(images[rng.integers(0, 8, count)] + rng.normal(0, 90, (count, 32, 32, 3)), 0, 255)
        log.record("batch", some.astype(np.uint8), np.full(count, label))
    found = fault(log, "imbalance")
    assert (found.count, names(log)) == (10, {"imbalance"})
    assert f"{10 * ratio} images" in found.words


def crop(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image[40:52, 60:72]).resize((96, 96), Image.Resampling.NEAREST))


def erase(image: np.ndarray) -> np.ndarray:
    erased = image.copy()
    erased[2:94, 2:94] = 0
    return erased


def noise(image: np.ndarray) -> np.ndarray:
    return np.clip(image + np.random.default_rng(int(image.sum())).normal(0, 2000, image.shape), 0, 255).astype(
        np.uint8
    )


def blur(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(12)))


def dark(image: np.ndarray) -> np.ndarray:
    return np.clip(image.astype(np.int64) - 225, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("destroy", "share"),
    [(erase, 0.4), (erase, 0.7), (noise, 0.4), (noise, 1.0), (blur, 1.0), (dark, 0.7), (crop, 1.0)],
)
def test_augmentation(destroy: Any, share: float) -> None:
    images = photos()[::2]
    labels = np.arange(len(images)) % 3
    count = round(share * len(images))
    log = VisualLog()
    log.record("loaded", images, labels)
    log.record("augmented", np.stack([*map(destroy, images[:count]), *images[count:]]), labels)
    found = fault(log, "augmentation")
    assert found.stage == "augmented"
    assert found.count >= count / 2
