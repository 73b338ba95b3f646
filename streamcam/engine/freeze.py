"""Turns a traced function into constants and folds batch normalisation into the convolutions before it.

A frozen Keras model computes ``conv(x, W) · c + d`` where ``c`` and ``d`` are constants per channel. Grappler folds
that into ordinary convolutions only; behind depthwise ones the product and the sum stay, and keep bias and
activation from being fused into the convolution. So it is done here, on the graph, which reaches every kind of
Keras model: ``conv(x, W · c) + d`` is the same number (up to rounding).

Only chains of tensors with one reader are folded: a target layer between convolution and batch norm, or a gradient
that needs the tensor, keeps its value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.backend import convert_variables_to_constants_v2, tf
from .program import Program

_IDLE = ("Const", "Identity", "NoOp")
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_ARITHMETIC: dict[str, Callable[..., NDArray[Any]]] = {
    "Identity": lambda x: x,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Reshape": lambda x, shape: x.reshape(shape),
}
"""What Keras makes biases and batch normalisation's constants with."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation after a convolution: ``x · value``, ``x + value`` or ``x − value``."""

    node: str
    kind: str
    value: str


def freeze(function: Any) -> Program:
    """A program of constants that computes what a concrete function computes, batch norm folded.

    Args:
        function: a `tf.types.experimental.ConcreteFunction` of tensors that returns a flat list of tensors.

    Returns:
        A program with the same inputs and outputs that holds no variable: the model may go away.
    """
    frozen = convert_variables_to_constants_v2(function)
    graph_def = frozen.graph.as_graph_def()
    inputs = tuple(tensor.name for tensor in frozen.inputs)
    outputs = tuple(tensor.name for tensor in frozen.outputs)
    fold_batch_norm(graph_def, list(outputs))
    forget_order(graph_def)
    # Most nodes have lost their readers by now, and each one that is left costs time and memory to import.
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(graph_def, [_node_of(name) for name in (*inputs, *outputs)])
    for node in graph_def.node:
        node.device = ""
    return Program(graph_def, inputs, outputs)


def forget_order(graph_def: Any) -> None:
    """Drops waits for nodes that do nothing but pass constants on: what is left of reading variables, in place.

    They would keep all the constants that folding has replaced.
    """
    nodes = {node.name: node for node in graph_def.node}
    idle: dict[str, bool] = {}

    def is_idle(name: str) -> bool:
        if name not in idle:
            idle[name] = False
            node = nodes[name]
            idle[name] = node.op in _IDLE and all(is_idle(_node_of(one)) for one in node.input)
        return idle[name]

    for node in graph_def.node:
        kept = [name for name in node.input if not (name.startswith("^") and is_idle(_node_of(name)))]
        if len(kept) < len(node.input):
            del node.input[:]
            node.input.extend(kept)


def fold_batch_norm(graph_def: Any, outputs: list[str]) -> int:
    """Folds constant products and sums into the convolutions before them, in place.

    Args:
        graph_def: a frozen `GraphDef`; nodes that nothing reads any more are left for pruning.
        outputs: names of the tensors that must keep their value.

    Returns:
        How many convolutions were changed.
    """
    nodes = {node.name: node for node in graph_def.node}
    readers: dict[str, list[str]] = defaultdict(list)
    for node in graph_def.node:
        for name in node.input:
            readers[_node_of(name)].append(node.name)
    kept = {_node_of(name) for name in outputs}
    constants = _Constants(nodes)

    chains: list[tuple[Any, list[_Step]]] = []
    for node in graph_def.node:
        if node.op in _CONVOLUTIONS and node.attr["data_format"].s == b"NHWC" and node.input[1] in constants:
            steps = _chain(node.name, nodes, readers, kept, constants)
            if steps:
                chains.append((node, steps))

    folded = 0
    for node, steps in chains:
        kernel = constants[node.input[1]]
        channels = kernel.shape[3] if node.op == "Conv2D" else kernel.shape[2] * kernel.shape[3]
        scale, shift, last = np.ones(channels), np.zeros(channels), ""
        for step in steps:
            value = _per_channel(constants[step.value], channels)
            if value is None:
                break
            if step.kind == "Mul":
                scale, shift = scale * value, shift * value
            else:
                shift = shift + (-value if step.kind == "Sub" else value)
            last = step.node
        if last:
            shape = (channels,) if node.op == "Conv2D" else kernel.shape[2:]
            kernel = (kernel * scale.reshape(shape)).astype(kernel.dtype)
            _replace(graph_def, nodes, readers, node, last, kernel, shift.astype(kernel.dtype))
            folded += 1
    return folded


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


class _Constants:
    """Values of tensors that are constants or computed from constants alone."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self._nodes = nodes
        self._values: dict[str, NDArray[Any] | None] = {}

    def __contains__(self, tensor: str) -> bool:
        return self._value(_node_of(tensor)) is not None

    def __getitem__(self, tensor: str) -> NDArray[Any]:
        value = self._value(_node_of(tensor))
        if value is None:
            raise KeyError(tensor)
        return value

    def _value(self, name: str) -> NDArray[Any] | None:
        if name not in self._values:
            node = self._nodes[name]
            if node.op == "Const":
                self._values[name] = tf.make_ndarray(node.attr["value"].tensor)
            elif node.op in _ARITHMETIC:
                operands = [self._value(_node_of(operand)) for operand in node.input]
                known = [operand for operand in operands if operand is not None]
                self._values[name] = _ARITHMETIC[node.op](*known) if len(known) == len(operands) else None
            elif node.op == "Squeeze" and (squeezed := self._value(_node_of(node.input[0]))) is not None:
                self._values[name] = np.squeeze(squeezed, tuple(node.attr["squeeze_dims"].list.i) or None)
            else:
                self._values[name] = None
        return self._values[name]


def _chain(
    start: str, nodes: dict[str, Any], readers: dict[str, list[str]], kept: set[str], constants: _Constants
) -> list[_Step]:
    steps: list[_Step] = []
    at = start
    while len(readers[at]) == 1 and at not in kept:
        node = nodes[readers[at][0]]
        if node.name in kept:
            break
        if node.op == "Identity":
            at = node.name
            continue
        kind = {"Add": "AddV2", "BiasAdd": "AddV2"}.get(node.op, node.op)
        if kind not in ("Mul", "AddV2", "Sub"):
            break
        left, right = (_node_of(name) for name in node.input[:2])
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
    """A constant as one number a channel, or None where it differs from place to place."""
    if value.size == 1:
        return np.full(channels, value.reshape(()), np.float64)
    if value.ndim <= 4 and value.size == channels and value.shape[-1] == channels:
        return value.reshape(channels).astype(np.float64)
    return None


def _replace(
    graph_def: Any,
    nodes: dict[str, Any],
    readers: dict[str, list[str]],
    convolution: Any,
    last: str,
    kernel: NDArray[Any],
    shift: NDArray[Any],
) -> None:
    dtype = convolution.attr["T"]
    folded = graph_def.node.add()
    folded.CopyFrom(convolution)
    folded.name = f"{convolution.name}/folded"
    folded.input[1] = _constant(graph_def, f"{folded.name}/kernel", kernel, dtype)
    bias = graph_def.node.add(name=f"{folded.name}/bias_add", op="BiasAdd")
    bias.input.extend([folded.name, _constant(graph_def, f"{folded.name}/bias", shift, dtype)])
    bias.attr["T"].CopyFrom(dtype)
    bias.attr["data_format"].s = b"NHWC"
    for reader in readers[last]:
        for position, name in enumerate(nodes[reader].input):
            if _node_of(name) == last:
                nodes[reader].input[position] = f"^{bias.name}" if name.startswith("^") else bias.name


def _constant(graph_def: Any, name: str, value: NDArray[Any], dtype: Any) -> str:
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].CopyFrom(dtype)
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return name
