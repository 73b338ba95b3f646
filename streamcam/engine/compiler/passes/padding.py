"""Fold zero padding into the convolution after it.

Keras writes strided convolutions as ``ZeroPadding2D`` and a VALID convolution (MobileNetV2, EfficientNet), and the
padding copies the largest feature maps of the network. If it equals SAME padding, the convolution uses SAME instead.
Other paddings remain: TensorFlow fuses them into ordinary convolutions, and explicit padding of depthwise ones crashes
its shape inference.
"""

from __future__ import annotations

from typing import Any

from ..graph_editor import GraphEditor, PassContext

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def fold_padding(context: PassContext) -> int:
    """Fold zero padding and a VALID convolution into a SAME one.

    Returns:
        The number of changed convolutions.
    """
    graph = context.edit()
    folded = 0
    for node in context.graph_def.node:
        if node.op not in _CONVOLUTIONS or node.attr["padding"].s != b"VALID":
            continue
        pad = graph.producer(node.input[0])
        if node.attr["data_format"].s != b"NHWC" or not _pads_zeros(pad, graph) or pad.name in graph.preserved:
            continue
        kernel = context.shape_of(node.input[1])
        size = context.shape_of(pad.input[0])
        if kernel.rank == size.rank == 4 and _is_same(node, graph.constants[pad.input[1]], kernel, size):
            node.input[0] = pad.input[0]
            node.attr["padding"].s = b"SAME"
            folded += 1
    return folded


def _pads_zeros(node: Any, graph: GraphEditor) -> bool:
    if node.op not in ("Pad", "PadV2") or node.input[1] not in graph.constants:
        return False
    return node.op == "Pad" or (node.input[2] in graph.constants and not graph.constants[node.input[2]].any())


def _is_same(convolution: Any, pads: Any, kernel: Any, size: Any) -> bool:
    if pads.shape != (4, 2) or pads[0].any() or pads[3].any():
        return False
    strides = convolution.attr["strides"].list.i
    dilations = convolution.attr["dilations"].list.i or (1, 1, 1, 1)
    for axis in (1, 2):
        length, width = size[axis], kernel[axis - 1]
        if length is None or width is None:
            return False
        if tuple(pads[axis]) != same_pads(length, width, strides[axis], dilations[axis]):
            return False
    return True


def same_pads(length: int, width: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return how many zeros SAME padding adds before and after one axis.

    Args:
        length: size of the input along the axis.
        width: size of the kernel.
        stride: stride of the convolution.
        dilation: dilation of the kernel.
    """
    total = max((-(-length // stride) - 1) * stride + (width - 1) * dilation + 1 - length, 0)
    return total // 2, total - total // 2
