"""Hoist strides: compute only the positions that a strided 1×1 convolution reads.

ResNet halves its feature maps with 1×1 convolutions of stride 2, which ignore three quarters of their input. This pass
moves the stride into the convolutions before, through sums and activations, if the tensors between have no other
reader. In ResNet50 that saves a twelfth of all arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....tf import tf
from ..graph_editor import GraphEditor, PassContext, node_name
from .padding import same_pads

_Stride = tuple[int, int]

_UNARY = ("Identity", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus")
_BINARY = ("Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum")


def hoist_strides(context: PassContext) -> int:
    """Move strides of 1×1 convolutions into the convolutions before them, in place.

    Returns:
        The number of convolutions that compute fewer positions.
    """
    hoister = _StrideHoister(context.edit(), context.shape_of)
    changed: set[str] = set()
    waiting = list(context.graph_def.node)
    while waiting:
        node = waiting.pop()
        step = hoister.common_stride(node)
        convolutions = list(hoister.find_convolutions(node)) if step is not None else []
        if step is not None and convolutions:
            hoister.hoist(node, step)
            for reader in hoister.graph.readers[node.name]:
                _set_strides(hoister.graph.nodes[reader], (1, 1))
            changed |= {one.name for one in convolutions}
            # Those of 1×1 now have strides that can move on.
            waiting += [hoister.graph.nodes[node_name(one.input[0])] for one in convolutions]
    return len(changed)


class _StrideHoister:
    def __init__(self, graph: GraphEditor, shape_of: Callable[[str], Any]) -> None:
        self.graph = graph
        self._shape_of = shape_of
        self._hoisted: set[str] = set()

    def common_stride(self, node: Any) -> _Stride | None:
        """Return the common strides of all readers of a node; None if they differ or one reads every position."""
        readers = [self.graph.nodes[name] for name in self.graph.readers[node.name]]
        if node.name in self.graph.preserved or node.name in self._hoisted or not readers:
            return None
        if any(reader.input[0] != node.name or not self._is_pointwise(reader) for reader in readers):
            return None
        steps = {_get_strides(reader) for reader in readers}
        return steps.pop() if len(steps) == 1 and steps != {(1, 1)} else None

    def find_convolutions(self, node: Any) -> Iterator[Any]:
        """Yield the convolutions that can take over the strides of a node."""
        if node.name in self._hoisted:
            return
        if self._can_stride(node):
            yield node
        for position in self._operands(node):
            operand = self.graph.nodes[node_name(node.input[position])]
            if self.graph.is_read_once(operand):
                yield from self.find_convolutions(operand)

    def hoist(self, node: Any, step: _Stride) -> None:
        """Make a node compute every ``step``-th position only."""
        self._hoisted.add(node.name)
        if self._can_stride(node):
            self._pad(node)
            rows, columns = _get_strides(node)
            _set_strides(node, (rows * step[0], columns * step[1]))
        for position in self._operands(node):
            operand = self.graph.nodes[node_name(node.input[position])]
            if self.graph.is_read_once(operand) and any(self.find_convolutions(operand)):
                self.hoist(operand, step)
            else:
                node.input[position] = self._subsample(node, position, step)

    def _is_pointwise(self, node: Any) -> bool:
        """Return True for a 1×1 convolution."""
        kernel = self._kernel_size(node)
        return kernel is not None and kernel == (1, 1) and node.attr["padding"].s in (b"SAME", b"VALID")

    def _can_stride(self, node: Any) -> bool:
        kernel = self._kernel_size(node)
        if kernel is None:
            return False
        known = self._shape_of(node.input[0])[1:3].is_fully_defined()
        return known or kernel == (1, 1) or node.attr["padding"].s != b"SAME"

    def _kernel_size(self, node: Any) -> _Stride | None:
        """Return rows and columns of a convolution's constant kernel; None for other nodes."""
        if node.op != "Conv2D" or node.attr["data_format"].s != b"NHWC" or node.input[1] not in self.graph.constants:
            return None
        if not tf.dtypes.as_dtype(node.attr["T"].type).is_floating:
            return None
        rows, columns = self.graph.constants[node.input[1]].shape[:2]
        return (rows, columns) if set(node.attr["dilations"].list.i) <= {1} else None

    def _operands(self, node: Any) -> list[int]:
        """Return the operands of an elementwise node that vary between positions; empty for other nodes."""
        if node.op == "BiasAdd":
            return [0] if node.attr["data_format"].s == b"NHWC" else []
        if node.op in _UNARY:
            return [0]
        if node.op not in _BINARY:
            return []
        constants = [position for position in (0, 1) if node.input[position] in self.graph.constants]
        if any(one != 1 for at in constants for one in self.graph.constants[node.input[at]].shape[-3:-1]):
            return []
        operands = [position for position in (0, 1) if position not in constants]
        shapes = [self._shape_of(node.input[position]) for position in operands]
        whole = self._shape_of(node.name)
        same = whole.rank == 4 and all(shape.rank == 4 and shape[1:] == whole[1:] for shape in shapes)
        return operands if same else []

    def _pad(self, node: Any) -> None:
        """Make SAME padding explicit: with other strides, SAME would pad differently."""
        kernel = self._kernel_size(node)
        if node.attr["padding"].s != b"SAME" or kernel is None or kernel == (1, 1):
            return
        sizes = self._shape_of(node.input[0])[1:3].as_list()
        pads = np.zeros((4, 2), np.int32)
        for axis, (size, width, stride) in enumerate(zip(sizes, kernel, _get_strides(node), strict=True), 1):
            pads[axis] = same_pads(size, width, stride)
        constant = self.graph.add_constant(f"{node.name}/pads", pads)
        pad = self.graph.add(f"{node.name}/padded", "Pad", [node.input[0], constant], node)
        pad.attr["Tpaddings"].CopyFrom(self.graph.nodes[constant].attr["dtype"])
        node.input[0] = pad.name
        node.attr["padding"].s = b"VALID"

    def _subsample(self, node: Any, position: int, step: _Stride) -> str:
        """Subsample an operand by 1×1 average pooling, TensorFlow's fastest way."""
        pool = self.graph.add(f"{node.name}/picked", "AvgPool", [node.input[position]], node)
        pool.attr["ksize"].list.i.extend((1, 1, 1, 1))
        pool.attr["strides"].list.i.extend((1, *step, 1))
        pool.attr["padding"].s = b"VALID"
        pool.attr["data_format"].s = b"NHWC"
        return str(pool.name)


def _get_strides(node: Any) -> _Stride:
    _, rows, columns, _ = node.attr["strides"].list.i
    return rows, columns


def _set_strides(node: Any, step: _Stride) -> None:
    node.attr["strides"].list.i[1:3] = step
