"""Fold batch normalisation, biases and layer scales into the kernel before them.

A frozen Keras model computes ``conv(x, W) · c + d`` where ``c`` and ``d`` are constants per channel. Grappler folds
that into ordinary convolutions only. After depthwise ones the product and the sum remain, and prevent the fusion of
bias and activation into the convolution. This pass computes ``conv(x, W · c) + d``, the same up to rounding, for both.
Keras computes dense layers on feature maps as ``Reshape``, ``MatMul``, ``Reshape``: there the product and the sum move
before the second reshape.

Only chains of tensors with one reader are folded: a target layer between convolution and batch norm, or a tensor that a
gradient reads, keeps its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph_editor import GraphEditor, PassContext, node_name

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation after a convolution: ``x · value``, ``x + value``, ``x − value`` or a reshape to ``value``."""

    node: str
    kind: str
    value: str


def fold_batch_norm(context: PassContext) -> int:
    """Fold constant products and sums into the kernels before them.

    Returns:
        The number of changed nodes.
    """
    graph = context.edit()
    chains: list[tuple[Any, list[_Step]]] = []
    for node in context.graph_def.node:
        if _can_be_scaled(node) and node.input[1] in graph.constants:
            steps = _chain(node, graph)
            if steps:
                chains.append((node, steps))

    folded = 0
    for node, steps in chains:
        kernel = graph.constants[node.input[1]]
        channels = _channels(node, kernel)
        scale, shift, last, reshape = np.ones(channels), np.zeros(channels), "", ""
        pending_reshape = ""
        for step in steps:
            if step.kind == "Reshape":
                pending_reshape = step.node
                continue
            value = _per_channel(graph.constants[step.value], channels)
            if value is None:
                break
            if step.kind == "Mul":
                scale, shift = scale * value, shift * value
            else:
                shift = shift + (-value if step.kind == "Sub" else value)
            last, reshape = step.node, pending_reshape
        if last:
            shape = kernel.shape[2:] if node.op == "DepthwiseConv2dNative" else (channels,)
            kernel = (kernel * scale.reshape(shape)).astype(kernel.dtype)
            _replace(graph, node, last, reshape, kernel, shift.astype(kernel.dtype))
            folded += 1
    return folded


def _can_be_scaled(node: Any) -> bool:
    if node.op == "MatMul":
        return not (node.attr["transpose_a"].b or node.attr["transpose_b"].b)
    return node.op in _CONVOLUTIONS and bool(node.attr["data_format"].s == b"NHWC")


def _channels(node: Any, kernel: NDArray[Any]) -> int:
    return int(kernel.shape[2] * kernel.shape[3] if node.op == "DepthwiseConv2dNative" else kernel.shape[-1])


def _chain(start: Any, graph: GraphEditor) -> list[_Step]:
    """Return the foldable operations after a convolution or dense layer, in order."""
    steps: list[_Step] = []
    constants = graph.constants
    at = start.name
    while len(graph.readers[at]) == 1 and at not in graph.preserved:
        node = graph.nodes[graph.readers[at][0]]
        if node.name in graph.preserved:
            break
        if node.op == "Identity":
            at = node.name
            continue
        if node.op == "Reshape":
            if start.op != "MatMul" or node_name(node.input[0]) != at or node.input[1] not in constants:
                break
            if constants[node.input[1]].tolist()[-1:] != [_channels(start, constants[start.input[1]])]:
                break
            steps = [step for step in steps if step.kind != "Reshape"]
            steps.append(_Step(node.name, "Reshape", node.input[1]))
            at = node.name
            continue
        kind = {"Add": "AddV2", "BiasAdd": "AddV2"}.get(node.op, node.op)
        if kind not in ("Mul", "AddV2", "Sub") or (node.op == "BiasAdd" and node.attr["data_format"].s == b"NCHW"):
            break
        left, right = (node_name(name) for name in node.input[:2])
        if left == at and right in constants:
            value = node.input[1]
        elif right == at and left in constants and kind != "Sub":
            value = node.input[0]
        else:
            break
        steps.append(_Step(node.name, kind, value))
        at = node.name
    return steps


def _per_channel(value: NDArray[Any], channels: int) -> NDArray[np.float64] | None:
    """Return a constant as one number per channel; None if it varies between positions."""
    if value.size == 1:
        return np.full(channels, value.reshape(()), np.float64)
    if value.ndim <= 4 and value.size == channels and value.shape[-1] == channels:
        return value.reshape(channels).astype(np.float64)
    return None


def _replace(
    graph: GraphEditor, product: Any, last: str, reshape: str, kernel: NDArray[Any], shift: NDArray[Any]
) -> None:
    name = f"{product.name}/folded"
    scaled = graph.copy(product, name, {1: graph.add_constant(f"{name}/kernel", kernel)})
    bias = graph.add_constant(f"{name}/bias", shift)
    end = graph.add(f"{name}/bias_add", "BiasAdd", [scaled.name, bias], product)
    end.attr["data_format"].s = b"NHWC"
    if reshape:
        end = graph.copy(graph.nodes[reshape], f"{name}/reshape", {0: end.name})
    graph.redirect(last, end.name)
