"""Small models and data to train, and a logger that keeps what it gets."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamcam.tf import keras

L = keras.layers
SIDE, CLASSES, COUNT = 24, 3, 40


def data(seed: int = 0) -> tuple[Any, Any]:
    """Random images; those of class 1 have a red corner."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3)).astype(np.float32)
    y = np.arange(COUNT) % CLASSES
    x[y == 1, :6, :6] = [255, 0, 0]
    return x, y


def layers() -> list[Any]:
    return [
        L.Rescaling(1 / 255),
        L.Conv2D(4, 3, padding="same", activation="relu", name="first"),
        L.MaxPooling2D(2),
        L.Conv2D(6, 3, padding="same", activation="relu", name="last"),
        L.BatchNormalization(name="norm"),
        L.GlobalAveragePooling2D(),
        L.Dense(CLASSES, activation="softmax", dtype="float32"),
    ]


def sequential(*, eager: bool = True) -> Any:
    return compiled(keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers()]), eager=eager)


def nested() -> Any:
    """Transfer learning: the feature maps are inside of another model."""
    backbone = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers()[:5]], name="backbone")
    image = keras.Input((SIDE, SIDE, 3))
    x = L.GlobalAveragePooling2D()(backbone(image))
    return compiled(keras.Model(image, L.Dense(CLASSES)(x)), eager=False)


@keras.saving.register_keras_serializable("streamcam-training-tests")
class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.parts = layers()

    def call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x


def subclassed() -> Any:
    return compiled(Subclassed())


def compiled(model: Any, *, eager: bool = True) -> Any:
    """Compile a model; a training of few batches is faster without a graph."""
    from_logits = getattr(model.layers[-1], "activation", None) is keras.activations.linear
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
        metrics=["accuracy"],
        run_eagerly=eager,
        jit_compile=False,
    )
    return model


class KeepingLogger:
    """Keeps images and numbers by key and step."""

    def __init__(self) -> None:
        self.images: dict[tuple[str, int], Any] = {}
        self.scalars: dict[tuple[str, int], float] = {}

    def log_image(self, key: str, image: Any, step: int) -> None:
        self.images[key, step] = image

    def log_scalar(self, key: str, value: float, step: int) -> None:
        self.scalars[key, step] = value

    def steps(self, key: str) -> list[int]:
        return [step for found, step in [*self.scalars, *self.images] if found == key]
