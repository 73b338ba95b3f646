"""Keep weights outside the `GraphDef` until the graph is loaded.

Freezing and TensorFlow's rewriter copy a graph many times. With the weights of VGG16 inside (half a gigabyte), that
took minutes and 17 GB. So a weight that is an operand of products only is a placeholder in the graph. Any other weight
stays a constant, so that the rewriter can fold it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...tf import FunctionConverter, replace_variables, tf
from .graph_editor import MIN_WEIGHT_BYTES, Weights, make_weight_placeholder, node_name

_PRODUCTS = frozenset(
    (
        *(("Conv2D", 1), ("DepthwiseConv2dNative", 1), ("MatMul", 0), ("MatMul", 1)),
        *(("Conv2DBackpropInput", 1), ("DepthwiseConv2dNativeBackpropInput", 1)),
    )
)
"""Pairs of an operation and the position of its weight operand."""

_SHAPE_OPERATIONS = ("Shape", "ShapeN")
"""Operations with which gradients read the shape of a weight; a placeholder has the shape, too."""


def externalize_weights(function: Any) -> tuple[Any, Weights]:
    """Freeze a concrete function: inline its functions, make constants or external weights of its variables.

    Args:
        function: a `tf.types.experimental.ConcreteFunction`.

    Returns:
        A `GraphDef` with the function's own names, and the external weights: all large variables and constants.

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
        # An operation reads the variable handle itself: an embedding, or a function that could not be inlined.
        external = {name: variable for name, variable in external.items() if name not in others}
    for called in graph_def.library.function:
        _fix_returns(called)
    values = {name: variable.numpy() for name, variable in external.items()}
    weights: Weights = {}
    for node, name in readers:
        make_weight_placeholder(node, node.attr["dtype"].type, values[name].shape)
        weights[node.name] = values[name]
    for node in graph_def.node:
        # A constant with control inputs belongs to a branch or a loop body and must stay there.
        if node.op == "Const" and not node.input and _is_weight(node):
            value = tf.make_ndarray(node.attr["value"].tensor)
            make_weight_placeholder(node, node.attr["dtype"].type, value.shape)
            weights[node.name] = value
    compacted = tf.compat.v1.GraphDef()
    compacted.CopyFrom(graph_def)  # the old message still holds the memory of the removed values
    return compacted, weights


def restore_weights(graph_def: Any, weights: Weights, kept_nodes: Iterable[str]) -> Weights:
    """Turn weights that other operations than products read into constants, in place.

    Args:
        graph_def: a graph with placeholders for the weights.
        weights: values of the placeholders.
        kept_nodes: names of the input and output nodes.

    Returns:
        The weights that stay outside the graph, without those that have no reader.
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
            node.input.remove(name)  # a placeholder needs no control dependency
        if node.name in weights and node.name in restored:
            constant = tf.compat.v1.NodeDef(name=node.name, op="Const")
            constant.attr["dtype"].type = node.attr["dtype"].type
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
            node.CopyFrom(constant)
    return {name: value for name, value in weights.items() if name in read and name not in restored}


def convert_weights(graph_def: Any, weights: Weights) -> Weights:
    """Apply the casts of weights that the rewriter inserted, in place.

    Args:
        graph_def: a rewritten graph; each cast of a weight becomes a placeholder.
        weights: values of the placeholders.

    Returns:
        The weights, and the converted ones by name of their cast.
    """
    converted: dict[tuple[str, int], NDArray[Any]] = {}
    found: Weights = {}
    for node in graph_def.node:
        if node.op == "Cast" and node.input[0] in weights:
            kind = node.attr["DstT"].type
            key = node.input[0], kind
            if key not in converted:
                converted[key] = weights[node.input[0]].astype(tf.dtypes.as_dtype(kind).as_numpy_dtype)
            make_weight_placeholder(node, kind, converted[key].shape)
            found[node.name] = converted[key]
    return weights | found


def import_graph(graph_def: Any, weights: Weights) -> None:
    """Import a graph with its external weights into the current one.

    Args:
        graph_def: a graph with placeholders for the weights.
        weights: values of the placeholders.
    """
    constants = {f"{name}:0": tf.constant(value, name=name) for name, value in weights.items()}
    light = tf.compat.v1.GraphDef()
    light.CopyFrom(graph_def)
    del light.node[:]
    light.node.extend(node for node in graph_def.node if node.name not in weights)
    tf.graph_util.import_graph_def(light, constants, name="")


def _fix_returns(function: Any) -> None:
    """Fix output names of a function that returns a variable.

    Freezing turned the read of the variable into an identity, whose output has another name. The forward function of a
    grouped convolution, which Keras traces separately (ConvNeXt), returns its kernel for the backward pass.
    """
    operations = {node.name: node.op for node in function.node_def}
    for name, tensor in list(function.ret.items()):
        node, _, output = tensor.partition(":")
        if output == "value:0" and operations.get(node) in ("Identity", "Const"):
            function.ret[name] = f"{node}:output:0"


def _is_large(variable: Any) -> bool:
    known = variable.dtype.is_floating and variable.shape.is_fully_defined()
    return bool(known and variable.shape.num_elements() * variable.dtype.size >= MIN_WEIGHT_BYTES)


def _is_weight(node: Any) -> bool:
    kind, shape = tf.dtypes.as_dtype(node.attr["dtype"].type), node.attr["value"].tensor.tensor_shape
    return bool(kind.is_floating and np.prod([one.size for one in shape.dim], initial=kind.size) >= MIN_WEIGHT_BYTES)


def _find_readers(graph_def: Any, names: set[str]) -> tuple[list[tuple[Any, str]], set[str]]:
    """Find the readers of variables, and variables whose handle escapes."""
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
    """Sort nodes: identities first, each after the identity it forwards."""
    nodes = {node.name: node for node in graph_def.node}
    depth: dict[str, int] = {}

    def identity_depth(name: str) -> int:
        if name not in depth:
            node: Any = nodes.get(name)
            identity = node is not None and node.op == "Identity"
            depth[name] = identity_depth(node_name(node.input[0])) + 1 if identity else 0
        return depth[name]

    return sorted(graph_def.node, key=lambda node: identity_depth(node.name) if node.op == "Identity" else len(nodes))
