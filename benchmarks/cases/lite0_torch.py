"""EfficientNet-Lite0 in PyTorch, with TensorFlow's asymmetric SAME padding, from the plain list of weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lite0
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Arrays = Iterator[NDArray[np.float32]]


class Convolution(nn.Sequential):
    """SAME-padded convolution, batch norm and, but after a projection, ReLU6."""

    def __init__(self, arrays: Arrays, kernel: int, stride: int, *, groups: int = 1, active: bool = True) -> None:
        values = next(arrays)
        # (h, w, in, out) and depthwise (h, w, channels, 1) → (out, in / groups, h, w).
        values = values.transpose((3, 2, 0, 1) if groups == 1 else (2, 3, 0, 1))
        outputs = values.shape[0]
        inputs = values.shape[1] * groups
        padding = kernel - stride
        convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, padding // 2 if stride == 1 else 0, groups=groups, bias=False
        )
        norm = nn.BatchNorm2d(outputs, eps=lite0.EPSILON)
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(np.ascontiguousarray(values)))
            for parameter in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                assert parameter is not None
                parameter.copy_(torch.from_numpy(next(arrays)))
        # Every strided layer here has an even input, so that its padding is one less before than after.
        pad = [nn.ZeroPad2d((padding // 2, padding - padding // 2) * 2)] if stride > 1 else []
        super().__init__(*pad, convolution, norm, *([nn.ReLU6()] if active else []))


class InvertedResidual(nn.Module):
    def __init__(self, arrays: Arrays, block: lite0.Block) -> None:
        super().__init__()
        width = block.inputs * block.expand
        expand = [Convolution(arrays, 1, 1)] if block.expand > 1 else []
        depthwise = Convolution(arrays, block.kernel, block.stride, groups=width)
        self.body = nn.Sequential(*expand, depthwise, Convolution(arrays, 1, 1, active=False))
        self.residual = block.residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class EfficientNetLite0(nn.Module):
    """Normalised images ``(N, 3, 224, 224)`` → logits; ``head`` is the last layer with a feature map."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        arrays = lite0.weights(path)
        stem = Convolution(arrays, 3, 2)
        self.body = nn.Sequential(stem, *(InvertedResidual(arrays, block) for block in lite0.blocks()))
        self.head = Convolution(arrays, 1, 1)
        self.classifier = nn.Linear(lite0.HEAD, lite0.CLASSES)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.from_numpy(np.ascontiguousarray(next(arrays).T)))
            self.classifier.bias.copy_(torch.from_numpy(next(arrays)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.head(self.body(x)).mean((2, 3)))
