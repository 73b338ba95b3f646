"""A constant patch that tells the class is found; patches and backgrounds that do not tell it are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamcam.training import VisualLog

from .pipelines import CLASSES, scenes

COLORS = np.array([(230, 150, 40), (60, 90, 220), (20, 180, 60), (250, 250, 250)], np.uint8)
COUNT = 24 * CLASSES


def faults(*stages: tuple[Any, Any]) -> list[Any]:
    log = VisualLog(class_names=["ant", "bee", "cat", "dog"])
    for number, (images, labels) in enumerate(stages):
        log.record(f"stage {number}", images, labels)
    return [one for one in log.faults() if one.name == "shortcut"]


def tagged(colors: Any, size: int = 12) -> np.ndarray:
    """Scenes with a patch in the lower right corner; -1 for images without."""
    images, _ = scenes(COUNT)
    for image, color in zip(images, colors, strict=True):
        if color >= 0:
            image[-size:, -size:] = COLORS[color]
    return images


@pytest.mark.parametrize(("size", "share"), [(24, 1.0), (8, 1.0), (12, 0.8)])
def test_a_patch_of_the_class(size: int, share: float) -> None:
    _, labels = scenes(COUNT)
    has = np.random.default_rng(0).permutation(COUNT) < share * COUNT
    (found,) = faults((tagged(np.where(has, labels, -1), size), labels))
    assert "in the lower right corner" in found.words
    assert f"of {CLASSES}" in found.words
    assert found.count == pytest.approx(has.sum(), abs=2)


def test_a_patch_of_one_class_is_named_in_the_first_stage_that_has_it() -> None:
    images, labels = scenes(COUNT)
    with_patch = tagged(np.where(labels == 2, 2, -1)).astype(np.float32)
    (found,) = faults((images, labels), (with_patch, labels), (with_patch / 127.5 - 1, labels))
    assert found.stage == "stage 1"
    assert "100% of the images of class cat (2) have the same patch" in found.words
    assert "0% of the others" in found.words
    assert {int(labels[n]) for n in found.indices} == {2}


def test_classes_that_share_a_patch() -> None:
    _, labels = scenes(COUNT)
    assert len(faults((tagged(np.where(labels < 2, 0, -1)), labels))) == 1


@pytest.mark.parametrize(
    "colors",
    [
        lambda labels: np.full(COUNT, -1),
        lambda labels: np.zeros(COUNT, int),
        lambda labels: np.random.default_rng(1).permutation(labels),
        lambda labels: np.where(np.random.default_rng(2).permutation(COUNT) < COUNT // 2, 0, -1),
    ],
    ids=["none", "all", "random color", "random half"],
)
def test_a_patch_that_does_not_tell_the_class(colors: Any) -> None:
    _, labels = scenes(COUNT)
    assert faults((tagged(colors(labels)), labels)) == []


def test_the_background_of_centred_objects_is_no_patch() -> None:
    """Bars and rings before black: around a bar, all is black; where the ring is, the bar's images are black."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:28, :28]
    images, labels = [], np.arange(64) % 2
    for label in labels:
        x, y, width = *rng.normal(13.5, 1, 2), rng.uniform(1.5, 3)
        bar = (abs(columns - x) < width) & (abs(rows - y) < 10)
        ring = abs(np.hypot(columns - x, rows - y) - 8) < width
        images.append(np.where(ring if label else bar, rng.uniform(150, 255), 0))
    assert faults((np.stack(images).astype(np.uint8), labels)) == []


def test_few_images_tell_nothing() -> None:
    _, labels = scenes(COUNT)
    kept = np.concatenate([np.flatnonzero(labels == one)[:8] for one in range(CLASSES)])
    assert faults((tagged(labels)[kept], labels[kept])) == []
