"""A small classifier, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamcam.tf import keras

layers = keras.layers


def classifier(shape: tuple[int | None, ...] = (20, 30, 3), classes: int = 4, **head: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, **{"activation": "softmax", **head}),
        ]
    )


def save_model(model: Any, path: Path) -> str:
    model.save(path)
    return str(path)
