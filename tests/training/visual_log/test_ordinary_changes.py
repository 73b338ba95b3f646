"""Ordinary steps of a pipeline are no fault: relabelling, colors, fewer tones, repetition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.tf import tf
from streamcam.training import VisualLog

from .pipelines import photos, scenes
from .test_clean import consume, dataset


def changed(change: Any, name: str = "changed", relabel: Any = None) -> Any:
    """Photographs, and the same after a change."""

    def build() -> VisualLog:
        images, labels = photos(), np.arange(12) % 4
        log = VisualLog()
        log.record("loaded", images, labels)
        log.record(name, np.asarray(change(images)), labels if relabel is None else relabel(labels))
        return log

    return build


def hue(images: np.ndarray) -> Any:
    angles = np.random.default_rng(1).uniform(-0.5, 0.5, len(images))
    return tf.stack([tf.image.adjust_hue(one, angle) for one, angle in zip(images, angles, strict=True)])


def posterized(images: np.ndarray) -> np.ndarray:
    return images // 16 * 16


def solarized(images: np.ndarray) -> np.ndarray:
    return np.where(images < 100, images, 255 - images)


def unit(images: np.ndarray) -> np.ndarray:
    return images / np.float32(255)


def mixed(images: np.ndarray) -> np.ndarray:
    return (0.25 * images + 0.75 * np.roll(images, 1, 0)).astype(np.uint8)


def as_float(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32)


def halved(images: np.ndarray) -> np.ndarray:
    return images[:, ::2, ::2].astype(np.float32)


CHANGES = {
    "superclass": changed(unit, relabel=lambda labels: labels // 2),
    "mixup": changed(mixed, relabel=lambda labels: np.roll(labels, 1)),
    "hue": changed(hue),
    "hsv": changed(lambda images: tf.image.rgb_to_hsv(unit(images))),
    "yuv": changed(lambda images: tf.image.rgb_to_yuv(unit(images))),
    "inverted": changed(lambda images: 255 - images),
    "solarized": changed(solarized),
    "posterized": changed(posterized),
    "scaled to 48": changed(halved, "scaled to 48"),
    "rescaled": changed(halved, "rescaled"),
    "stain normalized": changed(as_float, "stain normalized"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_ordinary_change_is_no_fault(name: str) -> None:
    assert CHANGES[name]().faults() == ()


def test_a_faded_image_is_not_normalized_twice() -> None:
    images, labels = scenes()
    log = VisualLog()
    log.record("scaled", unit(images), labels)
    log.record("bright", unit(images) * 0.1 + 0.9, labels)
    assert log.faults() == ()


def test_classes_may_be_chosen_and_numbered_anew() -> None:
    images, labels = scenes()
    log = VisualLog()
    log.record("loaded", images, labels)
    log.record("kept", images[labels % 2 == 1], labels[labels % 2 == 1] // 2)
    assert log.faults() == ()


@pytest.mark.parametrize(
    "code", [lambda n: n % 2 * 2 - 1, lambda n: n % 11 + 1, lambda n: n / 3], ids=("signs", "subset", "numbers")
)
def test_labels_may_be_other_numbers(code: Any) -> None:
    log = VisualLog()
    log.record("batch", scenes()[0], code(np.arange(32)))
    assert log.faults() == ()


def test_images_may_be_repeated_on_purpose() -> None:
    images, labels = scenes()
    repeated = VisualLog()
    consume(dataset(images, labels).repeat(3).batch(8).apply(repeated.tap("loaded")))
    assert repeated.faults() == ()
    oversampled = VisualLog()
    often = np.random.default_rng(0).permutation(
        [*np.repeat(np.flatnonzero(labels == 0)[:3], 4), *np.flatnonzero(labels)]
    )
    oversampled.record("loaded", images[often], labels[often])
    assert oversampled.faults() == ()


def test_numbered_files_are_no_video() -> None:
    images, labels = scenes()
    log = VisualLog()
    for number in range(32):
        split = "validation" if number % 4 == 0 else "train"
        log.record(split, images[number][None], labels[number][None], paths=[f"img_{number:04}.png"])
    assert log.faults() == ()
