"""OpenCV loop + pytorch-grad-cam in batches of 16.

``--tuned`` adds what an expert would, and the library's documentation does not: channels-last memory, and no
gradients for the weights before the target layer, so that the backward pass ends there.

The library imports torchvision for four names (`resize` in another method, transforms in helpers) that Grad-CAM never
calls, and no CPU build of torchvision goes with this PyTorch; a module with these names stands in for it.
"""

from __future__ import annotations

import sys
from types import ModuleType

import loop
import numpy as np
import torch
from lite0_torch import EfficientNetLite0
from numpy.typing import NDArray


def _stand_in_for_torchvision() -> None:
    torchvision, transforms, functional = (
        ModuleType(name) for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    )
    for module, names in ((transforms, ("Compose", "Normalize", "ToTensor")), (functional, ("resize",))):
        for name in names:
            setattr(module, name, None)
    sys.modules |= {module.__name__: module for module in (torchvision, transforms, functional)}


_stand_in_for_torchvision()

from pytorch_grad_cam import GradCAM  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402


def main() -> None:
    options = loop.arguments(tuned=False)
    model = EfficientNetLite0(options.weights).eval()
    layout = torch.channels_last if options.tuned else torch.contiguous_format
    if options.tuned:
        model = model.to(memory_format=torch.channels_last)
        model.body.requires_grad_(False)
    gradcam = GradCAM(model, [model.head])

    def tensor(images: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def explain(rgb_images: NDArray[np.float32]) -> NDArray[np.float32]:
        return gradcam(tensor(rgb_images), [ClassifierOutputTarget(loop.SAMOYED)] * len(rgb_images))

    def classify(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return model(tensor(images)).numpy()

    loop.run(loop.Peer(16, explain, classify, ("grad-cam", "torch")), options)


if __name__ == "__main__":
    main()
