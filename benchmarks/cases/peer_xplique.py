"""The images that Xplique finds for filters: ``peer_xplique.py LAYER CHANNEL,... SIDE OUT.npz``.

Runs in an environment of its own (``pip install xplique``), with this repository on ``PYTHONPATH``. Writes ``fourier``
and ``maco``, float32 ``(N, SIDE, SIDE, 3)`` RGB 0–1, and the CPU seconds of each.
"""

from __future__ import annotations

import sys
import time

import keras
import numpy as np
from xplique.features_visualizations import Objective, maco, optimize

from streamcam.models.zoo import efficientnet_lite0

STEPS = 256
CROPS = 8
"""Of MaCo in each step, instead of 32: a quarter of the time."""
RANGE = (-1.0, 1.0)
"""Of the values that the network takes."""


def main() -> None:
    """Optimise each filter both ways."""
    layer, channels, side, path = (
        sys.argv[1],
        [int(one) for one in sys.argv[2].split(",")],
        int(sys.argv[3]),
        sys.argv[4],
    )
    whole = efficientnet_lite0.load()
    model = keras.models.clone_model(whole, input_tensors=keras.Input((side, side, 3)))
    model.set_weights(whole.get_weights())
    keras.utils.set_random_seed(0)

    started = time.process_time()
    objective = Objective.channel(model, layer, channels)
    images, _ = optimize(objective, nb_steps=STEPS, values_range=RANGE, custom_shape=(side, side))
    fourier, fourier_seconds = np.asarray(images[-1]), time.process_time() - started

    started = time.process_time()
    found = []
    for channel in channels:
        image, _ = maco(
            Objective.channel(model, layer, channel),
            nb_steps=STEPS,
            nb_crops=CROPS,
            values_range=RANGE,
            custom_shape=(side, side),
        )
        found.append(np.asarray(image))
    seconds = [fourier_seconds, time.process_time() - started]
    low, high = RANGE
    both = {
        name: ((np.stack(list(images)) - low) / (high - low)).clip(0, 1).astype(np.float32)
        for name, images in (("fourier", fourier), ("maco", found))
    }
    np.savez_compressed(path, seconds=np.array(seconds), **both)


if __name__ == "__main__":
    main()
