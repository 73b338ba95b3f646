"""OpenCV loop + tf-keras-vis in batches of 16.

The fastest setting it has: maps stay 7x7 (`expand_cam=False`; OpenCV enlarges them anyway), the model is not cloned.
"""

from __future__ import annotations

import lite0_keras
import loop
import numpy as np
from numpy.typing import NDArray
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.scores import CategoricalScore


def main() -> None:
    options = loop.arguments()
    model = lite0_keras.build(options.weights)
    gradcam = Gradcam(model, clone=False)

    def explain(images: NDArray[np.float32]) -> NDArray[np.float32]:
        maps = gradcam(
            CategoricalScore([loop.SAMOYED] * len(images)),
            images,
            penultimate_layer=lite0_keras.TARGET_LAYER,
            seek_penultimate_conv_layer=False,
            expand_cam=False,
        )
        return np.asarray(maps)

    packages = ("tf-keras-vis", "tensorflow", "tf_keras")
    loop.run(loop.Peer(16, explain, lambda images: model(images).numpy(), packages), options)


if __name__ == "__main__":
    main()
