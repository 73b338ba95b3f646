"""Turns a traced function into constants and rewrites it for speed: the rewrites are in `rewrite`, one a file.

Each leaves the numbers as they are, up to rounding, and the tensors that somebody reads. They are done on the graph,
which reaches every kind of Keras model, and before TensorFlow's own rewriter, which fuses what they leave.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...errors import ModelError
from ...imports import error_summary
from ...tf import tf
from ..runtime.frozen_graph import FrozenGraph
from .external_weights import externalize_weights, restore_weights
from .names import node_name
from .passes import (
    broadcast_constants,
    fold_batch_norm,
    fold_channel_order,
    fold_padding,
    hoist_strides,
    inline_convolutions,
    rewrite_gelu,
)

_WRITE_PREFIXES = ("Assign", "ResourceScatter", "ResourceStridedSliceAssign")
"""How the names of operations begin that write to a variable."""

_PASSIVE_OPERATIONS = ("Const", "Identity", "NoOp")


def freeze(function: Any) -> FrozenGraph:
    """A program of constants that computes what a concrete function computes, rewritten to run fast.

    Args:
        function: a `tf.types.experimental.ConcreteFunction` of tensors that returns a flat list of tensors.

    Returns:
        A program with the same inputs and outputs that holds no variable: the model may go away.

    Raises:
        ModelError: TensorFlow cannot freeze it.
    """
    try:
        graph_def, weights = externalize_weights(function)
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
    except (ValueError, tf.errors.OpError) as error:
        variable_write = _find_variable_write(function)
        if variable_write:
            raise ModelError(
                f"the model changes a variable each time it runs: {variable_write}",
                expected="a model that only reads its variables",
                hint="build it so that only training changes them (its layers are called with training=False)",
            ) from error
        raise ModelError(
            f"TensorFlow cannot turn the model into constants: {error_summary(error)}",
            hint="use a method without gradients, such as occlusion, scorecam or eigencam",
        ) from error
    captured = {tensor.name for tensor in function.graph.internal_captures}
    inputs = tuple(tensor.name for tensor in function.inputs if tensor.name not in captured)
    outputs = [tensor.name for tensor in function.outputs]

    def shape_of(tensor: str) -> Any:
        name, _, output = tensor.partition(":")
        try:
            return graph.get_operation_by_name(name).outputs[int(output or 0)].shape
        except KeyError:  # a rewrite has made it
            return tf.TensorShape(None)

    inline_convolutions(graph_def, outputs)
    fold_padding(graph_def, outputs, shape_of)
    fold_channel_order(graph_def, outputs, shape_of, weights)
    broadcast_constants(graph_def, inputs, shape_of, weights)
    hoist_strides(graph_def, outputs, shape_of, weights)
    fold_batch_norm(graph_def, outputs, weights)
    rewrite_gelu(graph_def, outputs, weights)
    strip_control_deps(graph_def, weights)
    # Most nodes have lost their readers by now, and each one that is left costs time and memory to import.
    kept_nodes = [node_name(name) for name in (*inputs, *outputs)]
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(graph_def, kept_nodes)
    for node in graph_def.node:
        node.device = ""
    return FrozenGraph(graph_def, inputs, tuple(outputs), restore_weights(graph_def, weights, kept_nodes))


def _find_variable_write(function: Any) -> str:
    """Which variable a function writes to, or one of several, and where, in words; empty where it writes to none."""
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    names = {id(inner): variables[id(outer)].name for outer, inner in function.graph.captures if id(outer) in variables}
    library = function.graph.as_graph_def().library.function
    writers = {
        one.signature.name for one in library if any(node.op.startswith(_WRITE_PREFIXES) for node in one.node_def)
    }
    for operation in function.graph.get_operations():
        function_name = operation.get_attr("f").name if operation.type == "StatefulPartitionedCall" else ""
        if operation.type.startswith(_WRITE_PREFIXES) or function_name in writers:
            variable_names = [names[id(tensor)] for tensor in operation.inputs if id(tensor) in names]
            return f"{', '.join(variable_names).replace(':0', '') or 'one'} by {operation.name}"
    return "one inside a function" if writers else ""


def strip_control_deps(graph_def: Any, weights: Collection[str]) -> None:
    """Drops waits for nodes that only pass constants and weights on: what is left of reading variables, in place.

    They would keep all the constants that folding has replaced.
    """
    nodes = {node.name: node for node in graph_def.node}
    passive: dict[str, bool] = {}

    def is_passive(name: str) -> bool:
        if name not in passive:
            passive[name] = False
            node = nodes[name]
            passive[name] = (node.op in _PASSIVE_OPERATIONS or name in weights) and all(
                is_passive(node_name(one)) for one in node.input
            )
        return passive[name]

    for node in graph_def.node:
        inputs = [name for name in node.input if not (name.startswith("^") and is_passive(node_name(name)))]
        if len(inputs) < len(node.input):
            del node.input[:]
            node.input.extend(inputs)
