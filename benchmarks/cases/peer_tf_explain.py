"""OpenCV loop + tf-explain, one call a frame.

`GradCAM.explain` blends each map into the image the model took (224x224), which is no use for a video. So its two
halves are called, as a user has to who wants the map over the frame itself; omitting the blending favours it.
"""

from __future__ import annotations

import lite0_keras
import loop
import numpy as np
from numpy.typing import NDArray
from tf_explain.core.grad_cam import GradCAM


def main() -> None:
    options = loop.arguments()
    model = lite0_keras.build(options.weights)

    def explain(images: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs, gradients = GradCAM.get_gradients_and_filters(
            model, images, lite0_keras.TARGET_LAYER, loop.SAMOYED, use_guided_grads=False
        )
        return np.stack([cam.numpy() for cam in GradCAM.generate_ponderated_output(outputs, gradients)])

    packages = ("tf-explain", "tensorflow", "tf_keras")
    loop.run(loop.Peer(1, explain, lambda images: model(images).numpy(), packages), options)


if __name__ == "__main__":
    main()
