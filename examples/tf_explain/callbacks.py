"""The callbacks of tf-explain's MNIST example, as one callback: ``python examples/tf_explain/callbacks.py [FOLDER]``.

The same network on ten digits, drawn on the spot; images of the classes 0 and 4 are explained after each epoch.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from streamcam.training import ExplainCallback, write_evolution

METHODS = ("gradcam", "activations", "smoothgrad", "integrated-gradients", "saliency", "gradient-x-input")
EPOCHS = 3


def make_digits(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw digits that are turned, moved and noisy: float32 ``(N, 28, 28, 1)``, 0-1, and classes ``(N,)``."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    images = []
    for label in labels:
        canvas = Image.new("L", (28, 28))
        font = ImageFont.load_default(size=int(rng.integers(17, 24)))
        x, y = rng.uniform(12, 16, 2)
        ImageDraw.Draw(canvas).text((x, y), str(label), fill=255, font=font, anchor="mm")
        images.append(np.asarray(canvas.rotate(float(rng.normal(0, 10)), Image.Resampling.BILINEAR)))
    noisy = np.stack(images) / 255 + rng.normal(0, 0.05, (count, 28, 28))
    return np.clip(noisy, 0, 1)[..., None].astype(np.float32), labels


def build_model() -> Any:
    """Build and compile the network of tf-explain's example."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="target_layer")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(layers.Dropout(0.25)(x))
    x = layers.Dropout(0.5)(layers.Dense(128, activation="relu")(x))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(folder: Path) -> int:
    """Train, explain, and check that every method has logged images after each epoch."""
    images, labels = make_digits(1500, seed=0)
    test_images, test_labels = make_digits(200, seed=1)
    chosen = np.concatenate([np.flatnonzero(test_labels == digit)[:5] for digit in (0, 4)])
    log = folder / "log"
    shutil.rmtree(log, ignore_errors=True)  # a new training needs a new log
    callback = ExplainCallback(
        (test_images[chosen], test_labels[chosen]),
        methods=METHODS,
        targets="label",  # the class of each image: one callback for all classes
        layer="target_layer",
        params={"smoothgrad": {"steps": 15}, "integrated-gradients": {"steps": 10}},
        loggers=[f"folder:{log}"],  # f"tensorboard:{log}" writes event files, as tf-explain does
        images="grid",
    )
    model = build_model()
    model.fit(images, labels, epochs=EPOCHS, callbacks=[callback], verbose=0)
    accuracy = model.evaluate(test_images, test_labels, verbose=0)[1]
    logged = {method: len(list((log / "images" / method).rglob("*.png"))) for method in METHODS}
    print(f"accuracy {accuracy:.0%}; images: {logged}")
    write_evolution(log, folder / "evolution.mp4", overwrite=True)
    return 0 if all(count == EPOCHS + 1 for count in logged.values()) and not callback.failures else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
