"""Edit a frozen `GraphDef`: readers of nodes, constant values, new nodes, redirected inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...tf import tf

Weights: TypeAlias = dict[str, NDArray[Any]]
"""Values of the placeholders for external weights, by node name. In bfloat16 the arrays have ml_dtypes' type."""

MIN_WEIGHT_BYTES = 4096
"""Size from which on a weight is kept outside the graph."""

_ARITHMETIC: dict[str, Callable[..., NDArray[Any]]] = {
    "Identity": lambda x: x,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Reshape": lambda x, shape: x.reshape(shape),
}
"""Operations with which Keras computes biases and the constants of batch normalisation."""

_BINARY = ("Add", "AddV2", "Sub", "Mul", "RealDiv")


def node_name(tensor: str) -> str:
    """Return the node of a tensor name or control input (``^name``)."""
    return tensor.removeprefix("^").partition(":")[0]


def make_weight_placeholder(node: Any, kind: int, shape: Iterable[int]) -> None:
    """Turn a node into the placeholder of an external weight, in place.

    Args:
        node: a `NodeDef`; keeps its name.
        kind: the dtype, as TensorFlow's enum.
        shape: shape of the weight.
    """
    placeholder = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
    placeholder.attr["dtype"].type = kind
    placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    node.CopyFrom(placeholder)


@dataclass(frozen=True, slots=True, eq=False)
class PassContext:
    """Input of a compiler pass, which rewrites the graph in place.

    Attributes:
        graph_def: a frozen `GraphDef`. A pass leaves nodes without a reader to later pruning.
        inputs: names of the input tensors.
        outputs: names of the tensors whose value must not change.
        shape_of: returns the `tf.TensorShape` of a tensor; unknown rank for a tensor that a pass has added.
        weights: external weights; a pass adds those that it computes. None if all are constants of the graph.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shape_of: Callable[[str], Any] = lambda tensor: tf.TensorShape(None)
    weights: Weights | None = None

    def edit(self) -> GraphEditor:
        """Return an editor for the current state of the graph."""
        return GraphEditor(self.graph_def, self.outputs, self.weights)


class GraphEditor:
    """A `GraphDef` whose nodes are changed in place; nodes without a reader are left to later pruning.

    Attributes:
        graph_def: a frozen `GraphDef`.
        nodes: nodes by name.
        readers: names of the nodes that read a node, once for each input that does.
        preserved: names of the nodes whose tensors must keep their value.
        constants: values of tensors.
        weights: external weights; None if all are constants of the graph.
    """

    def __init__(self, graph_def: Any, outputs: Iterable[str], weights: Weights | None = None) -> None:
        self.graph_def = graph_def
        self.weights = weights
        self.nodes = {node.name: node for node in graph_def.node}
        self.readers: dict[str, list[str]] = defaultdict(list)
        for node in graph_def.node:
            for name in node.input:
                self.readers[node_name(name)].append(node.name)
        self.preserved = {node_name(name) for name in outputs}
        self.constants = Constants(self.nodes, weights or {})

    def producer(self, tensor: str) -> Any:
        """Return the node that computes a tensor, skipping identities."""
        node = self.nodes[node_name(tensor)]
        while node.op == "Identity" and node.name not in self.preserved:
            node = self.nodes[node_name(node.input[0])]
        return node

    def is_read_once(self, node: Any) -> bool:
        """Return True if a node has one reader and is no output."""
        return len(self.readers[node.name]) == 1 and node.name not in self.preserved

    def add(self, name: str, op: str, inputs: Iterable[str], like: Any) -> Any:
        """Add a node with the dtype (attribute ``T``) of the node ``like``."""
        name = self._unique_name(name)
        node = self.nodes[name] = self.graph_def.node.add(name=name, op=op)
        node.input.extend(inputs)
        node.attr["T"].CopyFrom(like.attr["T"])
        return node

    def add_constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant (an external weight if large); return its name."""
        name = self._unique_name(name)
        node = self.nodes[name] = self.graph_def.node.add(name=name, op="Const")
        if self.weights is not None and value.nbytes >= MIN_WEIGHT_BYTES:
            self.weights[name] = value
            make_weight_placeholder(node, tf.dtypes.as_dtype(value.dtype).as_datatype_enum, value.shape)
            return name
        node.attr["dtype"].type = tf.dtypes.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        return name

    def copy(self, node: Any, name: str, inputs: dict[int, str]) -> Any:
        """Add a copy of a node with other inputs at some positions."""
        name = self._unique_name(name)
        new = self.nodes[name] = self.graph_def.node.add()
        new.CopyFrom(node)
        new.name = name
        for position, tensor in inputs.items():
            new.input[position] = tensor
        return new

    def redirect(self, old: str, new: str) -> None:
        """Make all readers of the node ``old`` read ``new``."""
        for reader in self.readers[old]:
            for position, name in enumerate(self.nodes[reader].input):
                if node_name(name) == old:
                    self.nodes[reader].input[position] = f"^{node_name(new)}" if name.startswith("^") else new

    def _unique_name(self, name: str) -> str:
        while name in self.nodes:
            name += "_"
        return name

    def drop_control_deps(self, name: str) -> None:
        """Remove all control dependencies on a node."""
        for reader in set(self.readers[name]):
            inputs = self.nodes[reader].input
            if f"^{name}" in inputs:
                inputs.remove(f"^{name}")


class Constants:
    """Values of tensors that are constants or computed from constants only."""

    def __init__(self, nodes: dict[str, Any], weights: Weights) -> None:
        self._nodes = nodes
        self._values: dict[str, NDArray[Any] | None] = dict(weights)

    def __contains__(self, tensor: str) -> bool:
        return self._value(node_name(tensor)) is not None

    def __getitem__(self, tensor: str) -> NDArray[Any]:
        value = self._value(node_name(tensor))
        if value is None:
            raise KeyError(tensor)
        return value

    def _value(self, name: str) -> NDArray[Any] | None:
        if name not in self._values:
            node = self._nodes[name]
            # A node with control inputs belongs to a branch or a loop body; a new constant would not.
            waits = any(operand.startswith("^") for operand in node.input)
            if waits:
                self._values[name] = None
            elif node.op == "Const":
                self._values[name] = tf.make_ndarray(node.attr["value"].tensor)
            elif node.op in _ARITHMETIC:
                operands = [self._value(node_name(operand)) for operand in node.input]
                known = [operand for operand in operands if operand is not None]
                self._values[name] = _ARITHMETIC[node.op](*known) if len(known) == len(operands) else None
            elif node.op == "Squeeze" and (squeezed := self._value(node_name(node.input[0]))) is not None:
                self._values[name] = np.squeeze(squeezed, tuple(node.attr["squeeze_dims"].list.i) or None)
            else:
                self._values[name] = None
        return self._values[name]


def constant_operand(node: Any, graph: GraphEditor) -> int | None:
    """Return the position of the constant operand of a binary operation; None if there is none."""
    if node.op not in _BINARY:
        return None
    return next((position for position in (1, 0) if node.input[position] in graph.constants), None)
