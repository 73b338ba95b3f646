"""The models of the forward benchmark as frozen graphs that both sides read: python forward_graphs.py FOLDER BATCH...

Each graph takes uint8 images and gives logits, preprocessing within. Weights cannot be downloaded everywhere, so
all but the embedded model have random weights and biases, and statistics of batch norm taken from the images,
without which the activations of a deep network vanish and any two outputs agree.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from streamcam.engine.graph.logits import find_logits
from streamcam.models import load_model
from streamcam.models.zoo.applications import find, preprocessing
from streamcam.options import ModelOptions
from streamcam.tf import convert_variables_to_constants_v2, keras, tf

SIDE = 224
MODELS = ("efficientnet-lite0", "MobileNetV2", "ResNet50", "EfficientNetB0", "ConvNeXtTiny")


def main() -> None:
    """Write ``MODEL-BATCH.pb`` for each model and batch, and the images."""
    folder, batches = Path(sys.argv[1]), [int(batch) for batch in sys.argv[2:]]
    folder.mkdir(parents=True, exist_ok=True)
    images = _make_images(max(batches))
    np.save(folder / "images.npy", images)
    for name in MODELS:
        logits = _logits(name, images)
        for batch in batches:
            shape = tf.TensorSpec((batch, SIDE, SIDE, 3), tf.uint8)
            frozen = convert_variables_to_constants_v2(
                tf.function(logits, autograph=False).get_concrete_function(shape)
            )
            (folder / f"{name}-{batch}.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
        keras.backend.clear_session()


def _logits(name: str, rgb_images: Any) -> Any:
    application = find(name)
    if application is None:
        loaded = load_model(ModelOptions(model=name))
        call, preprocess = loaded.call, loaded.preprocess
    else:
        keras.utils.set_random_seed(0)
        model = getattr(keras.applications, application.name)(weights=None)
        preprocess = preprocessing(application.family)
        _randomize_weights(model, preprocess(tf.cast(rgb_images, tf.float32)))

        def call(images: Any) -> Any:
            return model(images, training=False)

    def logits(images: Any) -> Any:
        return tf.identity(find_logits(call(preprocess(tf.cast(images, tf.float32)))).logits, name="logits")

    return logits


def _randomize_weights(model: Any, images: Any) -> None:
    rng = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(rng.uniform(0.7, 1.3, norm.gamma.shape))
        norm.beta.assign(rng.uniform(-0.3, 0.3, norm.beta.shape))
    for layer in model.layers:
        if getattr(layer, "use_bias", False):
            layer.bias.assign(rng.uniform(-0.1, 0.1, layer.bias.shape))  # zeros would be optimised away
        if type(layer).__name__ == "LayerScale":
            layer.gamma.assign(rng.uniform(0.1, 1, layer.gamma.shape))  # 1e-6 without weights
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _make_images(count: int) -> Any:
    """Smooth blobs of colour, as photographs have, and some noise."""
    rng = np.random.default_rng(0)
    coarse = tf.image.resize(rng.uniform(0, 255, (count, 9, 9, 3)), (SIDE, SIDE), "bicubic").numpy()
    return (coarse + rng.normal(0, 12, coarse.shape)).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
