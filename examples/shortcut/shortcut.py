"""Train a small network on data with a planted shortcut, and see it learn the shortcut.

    python examples/shortcut/shortcut.py [FOLDER]

Each image shows a disc or a square. In training, a patch in the lower right corner has the color of the class. The
accuracy is perfect; the heatmaps show why. Exits with 1 if they do not.
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
from PIL import Image

import streamcam
from streamcam.training import ExplainCallback, VisualLog, write_evolution

SIDE, PATCH = 64, 12
CLASSES = ("disc", "square")
PATCH_COLORS = ((60, 90, 220), (230, 150, 40))
CORNER = (0.75, 0.75, 1.0, 1.0)
"""Left, top, right and bottom of the region around the patch, as fractions of the image: a sixteenth of it."""

EPOCHS = 6


def make_backgrounds(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise with the spectrum of photographs, amplitudes of 1/f: float32 ``(N, H, W, 3)``, 0-255."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(rng.normal(size=(count, 3, SIDE, SIDE)))
    layers_of_noise = np.fft.irfft2(noise / frequency, s=(SIDE, SIDE))
    layers_of_noise /= layers_of_noise.std(axis=(2, 3), keepdims=True)
    brightness, tint = layers_of_noise[:, :1], layers_of_noise  # one brightness for all channels, less color
    mean = rng.uniform(90, 160, size=(count, 1, 1, 1))
    images = mean + rng.uniform(20, 45, size=(count, 1, 1, 1)) * (0.8 * brightness + 0.35 * tint)
    return np.moveaxis(np.clip(images, 0, 255), 1, 3).astype(np.float32)


def draw_shape(image: NDArray[np.float32], label: int, x: float, y: float, rng: np.random.Generator) -> None:
    """Draw a disc (0) or a square (1) of the same area in a random color."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    radius = rng.uniform(7, 10)
    if label == 0:
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    else:
        half = radius * np.sqrt(np.pi) / 2
        inside = (abs(rows - y) <= half) & (abs(columns - x) <= half)
    image[inside] = 0.3 * image[inside] + 0.7 * rng.uniform(0, 255, size=3)


def make_images(count: int, seed: int, *, patch: str = "of the class") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw images.

    Args:
        count: number of images.
        seed: of the random numbers.
        patch: ``of the class``, ``of the other class``, or ``none``.

    Returns:
        Images uint8 ``(N, H, W, 3)`` RGB, and class indices ``(N,)``.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    images = make_backgrounds(count, rng)
    for image, label in zip(images, labels, strict=True):
        x, y = rng.uniform(12, SIDE - PATCH - 12, size=2)
        draw_shape(image, label, x, y, rng)
        if patch != "none":
            image[-PATCH:, -PATCH:] = PATCH_COLORS[label if patch == "of the class" else 1 - label]
    return images.astype(np.uint8), labels


def build_model() -> Any:
    """Build and compile a small network of RGB 0-255."""
    keras.utils.set_random_seed(7)
    x = inputs = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for number, filters in enumerate((16, 32, 32)):
        x = layers.Conv2D(filters, 3, strides=2 if number < 2 else 1, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(len(CLASSES), activation="softmax")(x), name="shapes")
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Shares:
    """A logger: keep the evidence share of the corner at each step."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}

    def log_image(self, key: str, image: Any, step: int) -> None:
        """Ignore images; the folder has them."""

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Keep the share."""
        if key.endswith("share/corner"):
            self.values[step] = value


def train(model: Any, folder: Path) -> Shares:
    """Train on data with the patch; explain 16 validation images before the training and after each epoch."""
    shutil.rmtree(folder, ignore_errors=True)  # a new training needs a new log
    shares = Shares()
    callback = ExplainCallback(
        make_images(16, seed=1),
        methods=["gradcam"],
        targets="label",
        regions={"corner": CORNER},
        labels=CLASSES,
        scale=0.25,  # the largest attribution at the end: full color in the video of the learning
        loggers=[f"folder:{folder}", shares],
    )
    images, labels = make_images(1200, seed=0)
    model.fit(
        images,
        labels,
        validation_data=make_images(200, seed=2),
        epochs=EPOCHS,
        batch_size=32,
        callbacks=[callback],
        verbose=0,
    )
    return shares


def accuracy(model: Any, patch: str) -> float:
    """Return the accuracy on new images."""
    images, labels = make_images(400, seed=3, patch=patch)
    return float((model.predict(images, verbose=0).argmax(axis=1) == labels).mean())


def make_clip(path: Path) -> None:
    """Write an animation: a disc moves from left to right, with the patch of discs."""
    rng = np.random.default_rng(4)
    (background,) = make_backgrounds(1, rng)
    frames = []
    for x in np.linspace(12, SIDE - 16, 24):
        image = background.copy()
        draw_shape(image, 0, x, 24, np.random.default_rng(5))
        image[-PATCH:, -PATCH:] = PATCH_COLORS[0]
        frames.append(Image.fromarray(image.astype(np.uint8)).resize((4 * SIDE, 4 * SIDE)))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)


def share_in_corner(heatmap: NDArray[np.float32]) -> float:
    """Return the share of a map's positive evidence that lies in the corner."""
    height, width = heatmap.shape
    evidence = np.maximum(heatmap, 0)
    left, top = round(CORNER[0] * width), round(CORNER[1] * height)
    return float(evidence[top:, left:].sum() / max(evidence.sum(), 1e-12))


def main(folder: Path) -> int:
    """Find the fault in the data, train, explain, and check that the network looks into the corner."""
    log = VisualLog(class_names=CLASSES)
    images, labels = make_images(1200, seed=0)
    log.record("training images", images, labels)
    print("What the data shows:")
    faults = log.faults()
    for fault in faults:
        print(f"  {fault.name}: {fault.words}")
    log.save(folder / "inspect.html", overwrite=True)

    print("\nShare of the evidence in the corner, which is 6 % of the image:")
    model = build_model()
    shares = train(model, folder / "log")
    for epoch, share in shares.values.items():
        print(f"  after {epoch} epochs: {share:4.0%} {'#' * round(40 * share)}")
    last = shares.values[EPOCHS]

    print("\nAccuracy on new images:")
    patches = ("of the class", "none", "of the other class")
    found = {patch: accuracy(model, patch) for patch in patches}
    for patch, value in found.items():
        print(f"  patch {patch}: {value:.0%}")

    write_evolution(folder / "log", folder / "evolution.mp4", overwrite=True)
    clip, video = folder / "disc.png", folder / "disc.gradcam.mp4"
    make_clip(clip)
    options: dict[str, Any] = {"model": model, "labels": CLASSES, "target": "disc", "method": "gradcam"}
    streamcam.process(clip, video, overwrite=True, **options)
    in_video = [share_in_corner(one.attributions[0].heatmap) for one in streamcam.frames(clip, **options)]
    print(f"\nIn the video, {np.mean(in_video):.0%} of the evidence for 'disc' lies in the corner: {video}")

    has_shortcut = last > 0.5 and min(in_video) > 0.5 and any(fault.name == "shortcut" for fault in faults)
    if has_shortcut:
        print(
            f"The network has learned a shortcut: {last:.0%} of its evidence lies in the corner, not on the shape. "
            f"With the patch of the other class, it is right in {found['of the other class']:.0%} of the images."
        )
    else:
        print("The network has not learned the shortcut that was planted.", file=sys.stderr)
    return 0 if has_shortcut else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
