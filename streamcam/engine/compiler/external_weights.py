"""Weights beside a graph instead of in it, until it runs.

TensorFlow's rewriter and its freezing copy a graph over and over. With the weights of VGG16 in it, half a gigabyte,
that took minutes and 17 GB. So a weight that goes into nothing but products is a placeholder in the graph; what is read
otherwise stays a constant, for the rewriter to compute with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...tf import FunctionConverter, replace_variables, tf
from .names import node_name

Weights: TypeAlias = dict[str, NDArray[Any]]
"""Values of placeholders, by name of the node. In bfloat16 the arrays are of ml_dtypes' type."""

MIN_WEIGHT_BYTES = 4096
"""Bytes from which on a weight is kept beside the graph."""

_PRODUCTS = frozenset(
    (
        *(("Conv2D", 1), ("DepthwiseConv2dNative", 1), ("MatMul", 0), ("MatMul", 1)),
        *(("Conv2DBackpropInput", 1), ("DepthwiseConv2dNativeBackpropInput", 1)),
    )
)
"""Operations and which of their inputs is a weight."""

_SHAPE_OPERATIONS = ("Shape", "ShapeN")
"""Operations that gradients ask how large a weight is; the placeholder tells them."""


def externalize_weights(function: Any) -> tuple[Any, Weights]:
    """The graph of a concrete function, functions inlined, with a constant for each variable or a weight beside it.

    Args:
        function: a `tf.types.experimental.ConcreteFunction`.

    Returns:
        A `GraphDef` with the function's own names, and the weights: all large variables and constants.

    Raises:
        ValueError, tf.errors.OpError: TensorFlow cannot freeze it.
    """
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    external = {
        inside.op.name: variables[id(outside)]
        for outside, inside in function.graph.captures
        if id(outside) in variables and _is_large(variables[id(outside)])
    }
    while True:
        graph_def, _ = replace_variables(
            FunctionConverter(function, True, False, variable_names_denylist=set(external))
        )
        readers, others = _find_readers(graph_def, set(external))
        if not others:
            break
        # Somebody wants the variable itself: an embedding, or a function that could not be inlined.
        external = {name: variable for name, variable in external.items() if name not in others}
    for called in graph_def.library.function:
        _fix_returns(called)
    values = {name: variable.numpy() for name, variable in external.items()}
    weights: Weights = {}
    for node, name in readers:
        _replace_by_placeholder(node, node.attr["dtype"].type, values[name].shape)
        weights[node.name] = values[name]
    for node in graph_def.node:
        # One that waits for something belongs to a branch or to the body of a loop, and is to stay there.
        if node.op == "Const" and not node.input and _is_weight(node):
            value = tf.make_ndarray(node.attr["value"].tensor)
            _replace_by_placeholder(node, node.attr["dtype"].type, value.shape)
            weights[node.name] = value
    compacted = tf.compat.v1.GraphDef()
    compacted.CopyFrom(graph_def)  # what was taken out of the old one still takes its memory
    return compacted, weights


def restore_weights(graph_def: Any, weights: Weights, kept_nodes: Iterable[str]) -> Weights:
    """Makes constants of those weights that something other than a product reads, in place.

    Args:
        graph_def: a graph with placeholders for the weights.
        weights: their values.
        kept_nodes: names of nodes that somebody asked for.

    Returns:
        The others, less those that nothing reads.
    """
    behind = {name: name for name in weights}
    restored: set[str] = set(kept_nodes)
    read: set[str] = set()
    for node in _identities_first(graph_def):
        for position, tensor in enumerate(node.input):
            weight = behind.get(node_name(tensor))
            if weight is None or tensor.startswith("^"):
                continue
            read.add(weight)
            if node.op == "Identity" and node.name not in restored:
                behind[node.name] = weight
            elif (node.op, position) in _PRODUCTS or node.op in _SHAPE_OPERATIONS:
                node.input[position] = weight
            else:
                restored.add(weight)
    for node in graph_def.node:
        for name in [one for one in node.input if one.startswith("^") and one[1:] in weights]:
            node.input.remove(name)  # there is nothing to wait for
        if node.name in weights and node.name in restored:
            constant = tf.compat.v1.NodeDef(name=node.name, op="Const")
            constant.attr["dtype"].type = node.attr["dtype"].type
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
            node.CopyFrom(constant)
    return {name: value for name, value in weights.items() if name in read and name not in restored}


def convert_weights(graph_def: Any, weights: Weights) -> Weights:
    """Does the casts of weights that the rewriter has put into a graph, in place: they are weights of another type."""
    converted: dict[tuple[str, int], NDArray[Any]] = {}
    found: Weights = {}
    for node in graph_def.node:
        if node.op == "Cast" and node.input[0] in weights:
            kind = node.attr["DstT"].type
            key = node.input[0], kind
            if key not in converted:
                converted[key] = weights[node.input[0]].astype(tf.dtypes.as_dtype(kind).as_numpy_dtype)
            _replace_by_placeholder(node, kind, converted[key].shape)
            found[node.name] = converted[key]
    return weights | found


def import_graph(graph_def: Any, weights: Weights) -> None:
    """Puts a graph into the current one, with constants for its weights."""
    constants = {f"{name}:0": tf.constant(value, name=name) for name, value in weights.items()}
    light = tf.compat.v1.GraphDef()
    light.CopyFrom(graph_def)
    del light.node[:]
    light.node.extend(node for node in graph_def.node if node.name not in weights)
    tf.graph_util.import_graph_def(light, constants, name="")


def make_weight_placeholder(node: Any, value: NDArray[Any]) -> None:
    """Makes a new node the placeholder of a weight."""
    _replace_by_placeholder(node, tf.dtypes.as_dtype(value.dtype).as_datatype_enum, value.shape)


def _fix_returns(function: Any) -> None:
    """Mends a function that returns a variable, in place: reading it is an identity by now, with another output.

    What goes forward through a grouped convolution, which Keras puts into a function of its own (ConvNeXt), returns
    its kernel for the way back.
    """
    operations = {node.name: node.op for node in function.node_def}
    for name, tensor in list(function.ret.items()):
        node, _, output = tensor.partition(":")
        if output == "value:0" and operations.get(node) in ("Identity", "Const"):
            function.ret[name] = f"{node}:output:0"


def _replace_by_placeholder(node: Any, kind: int, shape: Iterable[int]) -> None:
    placeholder = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
    placeholder.attr["dtype"].type = kind
    placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    node.CopyFrom(placeholder)


def _is_large(variable: Any) -> bool:
    known = variable.dtype.is_floating and variable.shape.is_fully_defined()
    return bool(known and variable.shape.num_elements() * variable.dtype.size >= MIN_WEIGHT_BYTES)


def _is_weight(node: Any) -> bool:
    kind, shape = tf.dtypes.as_dtype(node.attr["dtype"].type), node.attr["value"].tensor.tensor_shape
    return bool(kind.is_floating and np.prod([one.size for one in shape.dim], initial=kind.size) >= MIN_WEIGHT_BYTES)


def _find_readers(graph_def: Any, names: set[str]) -> tuple[list[tuple[Any, str]], set[str]]:
    """The nodes that read the values of variables, with whose; and the variables that are wanted themselves."""
    behind = {name: name for name in names}
    readers, others = [], set()
    for node in _identities_first(graph_def):
        for tensor in node.input:
            name = behind.get(node_name(tensor))
            if name is None:
                continue
            if node.op == "Identity":
                behind[node.name] = name
            elif node.op == "ReadVariableOp":
                readers.append((node, name))
            else:
                others.add(name)
    return readers, others


def _identities_first(graph_def: Any) -> list[Any]:
    """Its nodes with identities behind what they pass on, which is all that the order is needed for."""
    nodes = {node.name: node for node in graph_def.node}
    depth: dict[str, int] = {}

    def identity_depth(name: str) -> int:
        if name not in depth:
            node: Any = nodes.get(name)
            identity = node is not None and node.op == "Identity"
            depth[name] = identity_depth(node_name(node.input[0])) + 1 if identity else 0
        return depth[name]

    return sorted(graph_def.node, key=lambda node: identity_depth(node.name) if node.op == "Identity" else len(nodes))
