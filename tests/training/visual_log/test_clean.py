"""Clean pipelines have no fault."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from streamcam.tf import keras, tf
from streamcam.training import VisualLog
from streamcam.training.visual_log.reading import inspect_source

from .pipelines import CLASSES, SAMPLES, photos, scenes, write_folder

L = keras.layers


def dataset(images: np.ndarray, labels: np.ndarray) -> Any:
    return tf.data.Dataset.from_tensor_slices((images, labels))


def consume(data: Any) -> None:
    for _ in data:
        pass


def arrays() -> VisualLog:
    images, labels = scenes()
    log = VisualLog()
    log.tap("train")((images, labels))
    log.tap("validation")((scenes(seed=9)[0], scenes(seed=9)[1]))
    return log


def scaled_to_one() -> VisualLog:
    images, labels = scenes()
    log = VisualLog()
    data = dataset(images, labels).apply(log.tap("loaded"))
    data = data.map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)).batch(8).apply(log.tap("scaled"))
    consume(data)
    return log


def standardized_for_densenet() -> VisualLog:
    images, labels = scenes()
    log = VisualLog()
    data = dataset(images, labels).batch(8).apply(log.tap("loaded"))
    preprocess = keras.applications.densenet.preprocess_input
    consume(data.map(lambda x, y: (preprocess(tf.cast(x, tf.float32)), y)).apply(log.tap("preprocessed")))
    return log


def bgr_on_purpose_for_resnet() -> VisualLog:
    images, labels = scenes()
    inner = keras.Sequential([keras.Input((96, 96, 3)), L.Conv2D(2, 3)], name="resnet50")
    model = keras.Sequential([keras.Input((96, 96, 3)), inner, L.GlobalAveragePooling2D(), L.Dense(CLASSES)])
    log = VisualLog(model=model)
    log.record("loaded", images, labels)
    log.record("input", keras.applications.resnet.preprocess_input(images.astype(np.float32)), labels)
    return log


def augmented() -> VisualLog:
    images, labels = scenes(24)
    layers = [L.RandomFlip(seed=0), L.RandomRotation(0.1, seed=1), L.RandomZoom(0.2, seed=2)]
    augment = keras.Sequential([*layers, L.RandomTranslation(0.1, 0.1, seed=3), L.RandomContrast(0.3, seed=4)])
    model = keras.Sequential([keras.Input((96, 96, 3)), L.Rescaling(1 / 255), L.Conv2D(2, 3), L.Flatten(), L.Dense(4)])
    log = VisualLog(model=model)
    data = dataset(images, labels).shuffle(24, seed=0).batch(8).apply(log.tap("loaded"))
    consume(data.map(lambda x, y: (augment(x, training=True), y)).apply(log.tap("augmented")))
    return log


def photos_with_brightness_and_crops() -> VisualLog:
    images = photos()
    labels = np.arange(len(images)) // 6
    log = VisualLog()
    rng = np.random.default_rng(0)
    log.record("loaded", images, labels)
    cropped = []
    for image in images:
        side = int(rng.uniform(0.75, 1) * 96)
        y, x = rng.integers(0, 96 - side + 1, 2)
        part = Image.fromarray(image[y : y + side, x : x + side])
        cropped.append(np.clip(np.asarray(part.resize((80, 80))) * rng.uniform(0.8, 1.2), 0, 255))
    log.record("augmented", np.stack(cropped).astype(np.uint8), labels)
    log.record("scaled", np.stack(cropped).astype(np.float32) / 127.5 - 1, labels)
    return log


def grayscale() -> VisualLog:
    images, labels = scenes(40, 28, 28)
    gray = images.mean(3).astype(np.uint8)
    log = VisualLog()
    log.record("loaded", gray, labels)
    log.record("scaled", gray[..., None] / np.float32(255), labels)
    return log


def small() -> VisualLog:
    images, labels = scenes(5)
    log = VisualLog()
    log.record("loaded", images, labels)
    log.record("scaled", images / np.float32(255), labels)
    return log


def class_templates_with_noise() -> VisualLog:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    images = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200)])[labels][:, None, None] * np.ones((1, 32, 32, 1))
    log = VisualLog()
    noisy = np.clip(images + rng.normal(0, 20, images.shape), 0, 255).astype(np.uint8)
    log.record("train", noisy[:150], labels[:150])
    log.record("validation", noisy[150:], labels[150:])
    return log


def standardized_per_image() -> VisualLog:
    images, labels = scenes()
    log = VisualLog()
    data = dataset(images, labels).batch(4).apply(log.tap("loaded"))
    consume(data.map(lambda x, y: (tf.image.per_image_standardization(x), y)).apply(log.tap("standardized")))
    return log


def cropped_to_aspect() -> VisualLog:
    images, labels = scenes(16, 96, 160)
    log = VisualLog()
    resize = L.Resizing(64, 64, crop_to_aspect_ratio=True)
    data = dataset(images, labels).batch(4).apply(log.tap("loaded"))
    consume(data.map(lambda x, y: (resize(x), y)).apply(log.tap("resized")))
    return log


def padded_to_aspect() -> VisualLog:
    images, labels = scenes(16, 96, 160)
    log = VisualLog()
    data = dataset(images, labels).batch(4).apply(log.tap("loaded"))
    consume(data.map(lambda x, y: (tf.image.resize_with_pad(x, 64, 64), y)).apply(log.tap("resized")))
    return log


def shuffled_between_stages() -> VisualLog:
    images, labels = scenes(32)
    log = VisualLog()
    data = dataset(images, labels).apply(log.tap("loaded")).shuffle(32, seed=3).batch(8)
    consume(data.map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)).apply(log.tap("scaled")))
    return log


def several_epochs() -> VisualLog:
    images, labels = scenes(16)
    log = VisualLog()
    data = dataset(images, labels).shuffle(16).batch(4).apply(log.tap("batch"))
    for _ in range(3):
        consume(data)
    for _ in itertools.islice(data, 1):
        pass
    return log


def graphics() -> VisualLog:
    """Discs and squares of one color, which resemble each other after a shift, turned with a constant border."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    labels = np.arange(40) % 2
    images = np.empty((40, 64, 64, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = rng.uniform(24, 40, 2)
        radius = rng.uniform(8, 16)
        distance = np.hypot(rows - y, columns - x) if label else np.maximum(abs(rows - y), abs(columns - x))
        image[:] = np.where((distance < radius)[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3))
    log = VisualLog()
    log.record("loaded", images[:28], labels[:28])
    turned = [np.asarray(Image.fromarray(one).rotate(rng.uniform(-30, 30))) for one in images[:28]]
    log.record("augmented", np.stack(turned), labels[:28])
    log.record("validation", images[28:], labels[28:])
    return log


def noise() -> VisualLog:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    log = VisualLog()
    log.record("loaded", images, np.arange(40) % 4)
    turned = [np.asarray(Image.fromarray(one).rotate(20, Image.Resampling.BILINEAR)) for one in images]
    log.record("augmented", np.stack(turned), np.arange(40) % 4)
    return log


def frames_of_two_videos() -> VisualLog:
    videos = []
    for name in ("cockatoo.mp4", "samoyed_640_nogps.mp4"):
        with av.open(SAMPLES / name) as container:
            frames = [next(container.decode(video=0)) for _ in range(24)][::2]
        videos.append(np.stack([frame.to_ndarray(width=96, height=96, format="rgb24") for frame in frames]))
    log = VisualLog()
    log.record("train", np.concatenate([videos[0], photos()]), np.arange(24) // 12)
    log.record("validation", videos[1], np.ones(12, int))
    return log


PIPELINES = [
    arrays,
    scaled_to_one,
    standardized_for_densenet,
    bgr_on_purpose_for_resnet,
    augmented,
    photos_with_brightness_and_crops,
    grayscale,
    small,
    class_templates_with_noise,
    standardized_per_image,
    cropped_to_aspect,
    padded_to_aspect,
    shuffled_between_stages,
    several_epochs,
    graphics,
    noise,
    frames_of_two_videos,
]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda one: one.__name__)
def test_a_clean_pipeline_has_no_fault(pipeline: Any) -> None:
    log = pipeline()
    assert log.stages()
    assert log.faults() == ()


def test_a_clean_folder_has_no_fault(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", *scenes(24, 64, 80))
    write_folder(tmp_path / "validation", *scenes(16, 80, 64, seed=4))
    log = inspect_source(str(tmp_path))
    assert [stage.count for stage in log.stages()] == [24, 16]
    assert log.class_names == ("a", "b", "c", "d")
    assert log.faults() == ()


def test_a_clean_keras_directory_has_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "images", *scenes(24))
    code = (
        "import keras\n"
        "def load():\n"
        "    read = keras.utils.image_dataset_from_directory\n"
        "    return read('images', image_size=(64, 64), batch_size=8, verbose=False)\n"
    )
    (tmp_path / "clean_directory.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    log = inspect_source("clean_directory:load")
    assert [(stage.name, stage.count) for stage in log.stages()] == [("files", 24), ("input", 24)]
    assert log.faults() == ()
