"""Fine-tune a pretrained backbone, and watch where the network looks before, while frozen and while fine-tuned.

    python examples/transfer/transfer.py [FOLDER]

The model contains another model, the backbone: EfficientNet-Lite0 with ImageNet weights, as streamcam ships it. The
callback explains a layer inside it. Exits with 1 if the evidence does not move onto the shapes.
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
from PIL import Image, ImageDraw

import streamcam
from streamcam.models.zoo import efficientnet_lite0
from streamcam.training import ExplainCallback, write_evolution

SIDE = 96
CLASSES = ("disc", "square", "triangle")
LAYER = "backbone/block10_add"
"""The last feature map of a sixteenth of the image's side: 6x6 positions."""

FROZEN_EPOCHS, TUNED_EPOCHS = 2, 3


def make_images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Draw shapes of random color on noise that looks like a photograph out of focus.

    Returns:
        Images uint8 ``(N, H, W, 3)`` RGB, class indices ``(N,)``, and masks ``(N, H, W)`` of the shapes.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    masks = np.empty((count, SIDE, SIDE), bool)
    for number, label in enumerate(labels):
        coarse, fine = (rng.integers(40, 216, (n, n, 3), np.uint8) for n in (5, 24))
        background = 0.7 * enlarge(coarse) + 0.3 * enlarge(fine)
        mask = draw_mask(int(label), rng)
        color = rng.uniform(0, 255, 3)
        images[number] = np.where(mask[..., None], 0.25 * background + 0.75 * color, background)
        masks[number] = mask
    return images, labels, masks


def enlarge(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an image smoothly enlarged to the size of all."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)


def draw_mask(label: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the mask ``(H, W)`` of a disc, square or triangle, turned by a random angle."""
    radius = rng.uniform(14, 20)
    x, y = rng.uniform(radius, SIDE - radius, 2)
    canvas = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(canvas)
    if label == 0:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    else:
        angles = rng.uniform(0, 2 * np.pi) + np.arange(4 if label == 1 else 3) * 2 * np.pi / (4 if label == 1 else 3)
        draw.polygon([(x + radius * np.cos(one), y + radius * np.sin(one)) for one in angles], fill=255)
    return np.asarray(canvas) > 127


def build_model() -> tuple[Any, Any]:
    """Return the model, and its backbone: frozen, with ImageNet weights."""
    keras.utils.set_random_seed(3)
    imagenet = efficientnet_lite0.load()
    backbone = keras.Model(imagenet.input, imagenet.get_layer("top_activation").output, name="backbone")
    backbone.trainable = False
    inputs = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(inputs)
    x = backbone(x, training=False)  # batch norm keeps its statistics, also while fine-tuning
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(len(CLASSES), activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="transfer"), backbone


def unfreeze(backbone: Any, first: str) -> int:
    """Make a layer of the backbone and those after it trainable; return their number."""
    backbone.trainable = True
    names = [layer.name for layer in backbone.layers]
    start = names.index(first)
    for layer in backbone.layers[:start]:
        layer.trainable = False
    return len(names) - start


class Numbers:
    """A logger: keep the numbers of each step."""

    def __init__(self) -> None:
        self.values: dict[str, dict[int, float]] = {}

    def log_image(self, key: str, image: Any, step: int) -> None:
        """Ignore images; the folder has them."""

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Keep a number."""
        self.values.setdefault(key, {})[step] = value


def train(model: Any, backbone: Any, folder: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Train the head, then the end of the backbone; explain before and after each epoch.

    Returns:
        Evidence share on the shapes, and validation accuracy, by the number of epochs.
    """
    shutil.rmtree(folder, ignore_errors=True)  # a new training needs a new log
    images, labels, _ = make_images(400, seed=0)
    validation_images, validation_labels, masks = make_images(120, seed=1)
    numbers = Numbers()
    callback = ExplainCallback(
        (validation_images[:16], validation_labels[:16]),
        methods=["gradcam"],
        layer=LAYER,
        regions={"shape": masks[:16]},
        labels=CLASSES,
        loggers=[f"folder:{folder}", numbers],
    )
    accuracy: dict[int, float] = {}
    stages = ((0, FROZEN_EPOCHS, 3e-3), (FROZEN_EPOCHS, FROZEN_EPOCHS + TUNED_EPOCHS, 3e-4))
    for begin, end, rate in stages:
        if begin:
            print(f"  {unfreeze(backbone, 'block8_expand_conv')} layers of the backbone are trained from here on")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(
            images,
            labels,
            validation_data=(validation_images, validation_labels),
            initial_epoch=begin,
            epochs=end,
            batch_size=32,
            callbacks=[callback],  # the same object: its steps and its scale go on
            verbose=0,
        )
        accuracy |= dict(zip(range(begin + 1, end + 1), history.history["val_accuracy"], strict=True))
        shares = numbers.values["gradcam/share/shape"]
        for epoch in range(begin + 1 if begin else 0, end + 1):
            known = f", accuracy {accuracy[epoch]:.0%}" if epoch in accuracy else ""
            print(f"  after {epoch} epochs: {shares[epoch]:4.0%} of the evidence on the shapes{known}")
    return shares, accuracy


def main(folder: Path) -> int:
    """Train in two stages, write a video of the learning, and explain a new image."""
    model, backbone = build_model()
    print("Training:")
    shares, accuracy = train(model, backbone, folder / "log")
    video = folder / "evolution.mp4"
    write_evolution(folder / "log", video, overwrite=True)
    print(f"Video of the learning: {video}")

    (image,), _, (mask,) = make_images(1, seed=2)
    explanation = streamcam.Explainer(model, "gradcam", layer=LAYER, labels=CLASSES).explain(image)
    path = folder / "explained.png"
    Image.fromarray(explanation.overlay()).resize((4 * SIDE, 4 * SIDE)).save(path)
    name, probability = explanation.top[0][0]
    print(f"A new image is a {name} ({probability:.0%}), explained at {explanation.layer}: {path}")

    frozen, tuned = FROZEN_EPOCHS, FROZEN_EPOCHS + TUNED_EPOCHS
    print(
        f"The evidence on the shapes ({mask.mean():.0%} of an image) rose from {shares[0]:.0%} to {shares[tuned]:.0%}. "
        f"Fine-tuning took the accuracy from {accuracy[frozen]:.0%} to {accuracy[tuned]:.0%}."
    )
    if shares[tuned] > 1.5 * shares[0] and accuracy[tuned] > 0.7:
        return 0
    print("The network has not learned to use the shapes.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
