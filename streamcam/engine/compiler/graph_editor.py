"""A `GraphDef` with who reads what, what is constant, and how a tensor is put in another's place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...tf import tf
from .external_weights import MIN_WEIGHT_BYTES, Weights, make_weight_placeholder
from .names import node_name

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

_BINARY = ("Add", "AddV2", "Sub", "Mul", "RealDiv")


class GraphEditor:
    """Nodes are changed in place; those that nothing reads any more are left for pruning.

    Attributes:
        graph_def: a frozen `GraphDef`.
        nodes: by name.
        readers: names of the nodes that read a node, one for each time that they do.
        preserved: names of the nodes whose tensors must keep their value.
        constants: values of tensors.
        weights: those beside the graph; None where all are in it.
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
        """The node that makes a tensor, behind identities."""
        node = self.nodes[node_name(tensor)]
        while node.op == "Identity" and node.name not in self.preserved:
            node = self.nodes[node_name(node.input[0])]
        return node

    def is_read_once(self, node: Any) -> bool:
        """True where one node reads it and nobody asked for it."""
        return len(self.readers[node.name]) == 1 and node.name not in self.preserved

    def add(self, name: str, op: str, inputs: Iterable[str], like: Any) -> Any:
        """A new node of the type of the tensors of another one."""
        name = self._unique_name(name)
        node = self.nodes[name] = self.graph_def.node.add(name=name, op=op)
        node.input.extend(inputs)
        node.attr["T"].CopyFrom(like.attr["T"])
        return node

    def add_constant(self, name: str, value: NDArray[Any]) -> str:
        """The name of a new constant."""
        name = self._unique_name(name)
        node = self.nodes[name] = self.graph_def.node.add(name=name, op="Const")
        if self.weights is not None and value.nbytes >= MIN_WEIGHT_BYTES:
            self.weights[name] = value
            make_weight_placeholder(node, value)
            return name
        node.attr["dtype"].type = tf.dtypes.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        return name

    def copy(self, node: Any, name: str, inputs: dict[int, str]) -> Any:
        """A new node like another one but for some of its inputs."""
        name = self._unique_name(name)
        new = self.nodes[name] = self.graph_def.node.add()
        new.CopyFrom(node)
        new.name = name
        for position, tensor in inputs.items():
            new.input[position] = tensor
        return new

    def redirect(self, old: str, new: str) -> None:
        """Whoever read the node ``old`` reads ``new``."""
        for reader in self.readers[old]:
            for position, name in enumerate(self.nodes[reader].input):
                if node_name(name) == old:
                    self.nodes[reader].input[position] = f"^{node_name(new)}" if name.startswith("^") else new

    def _unique_name(self, name: str) -> str:
        while name in self.nodes:
            name += "_"
        return name

    def drop_control_deps(self, name: str) -> None:
        """Nobody waits for the node any more who does not read it."""
        for reader in set(self.readers[name]):
            inputs = self.nodes[reader].input
            if f"^{name}" in inputs:
                inputs.remove(f"^{name}")


class Constants:
    """Values of tensors that are constants or computed from constants alone."""

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
            # What waits for something belongs to a branch or to the body of a loop, which a new constant would not.
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
    """Which operand of a sum, a difference, a product or a quotient is a constant; None where none is."""
    if node.op not in _BINARY:
        return None
    return next((position for position in (1, 0) if node.input[position] in graph.constants), None)
