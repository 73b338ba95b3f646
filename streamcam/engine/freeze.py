"""Turns a traced function into constants and rewrites it for speed: the rewrites are in `rewrite`, one a file.

Each leaves the numbers as they are, up to rounding, and the tensors that somebody reads. They are done on the graph,
which reaches every kind of Keras model, and before TensorFlow's own rewriter, which fuses what they leave.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import ModelError
from ..models.backend import tf
from ..models.foreign import reason
from .names import node_of
from .program import Program
from .rewrite import (
    fold_batch_norm,
    inline_convolutions,
    merge_padding,
    move_order,
    move_strides,
    rewrite_gelu,
    widen_constants,
)
from .weights import put_back, without_variables

_CHANGING = ("Assign", "ResourceScatter", "ResourceStridedSliceAssign")
"""How the names of operations begin that write to a variable."""

_IDLE = ("Const", "Identity", "NoOp")


def freeze(function: Any) -> Program:
    """A program of constants that computes what a concrete function computes, rewritten to run fast.

    Args:
        function: a `tf.types.experimental.ConcreteFunction` of tensors that returns a flat list of tensors.

    Returns:
        A program with the same inputs and outputs that holds no variable: the model may go away.

    Raises:
        ModelError: TensorFlow cannot freeze it.
    """
    try:
        graph_def, weights = without_variables(function)
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
    except (ValueError, tf.errors.OpError) as error:
        changed = _changed(function)
        if changed:
            raise ModelError(
                f"the model changes a variable each time it runs: {changed}",
                wanted="a model that only reads its variables",
                do="build it so that only training changes them (its layers are called with training=False)",
            ) from error
        raise ModelError(
            f"TensorFlow cannot turn the model into constants: {reason(error)}",
            do="use a method without gradients, such as occlusion, scorecam or eigencam",
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
    merge_padding(graph_def, outputs, shape_of)
    move_order(graph_def, outputs, shape_of, weights)
    widen_constants(graph_def, inputs, shape_of, weights)
    move_strides(graph_def, outputs, shape_of, weights)
    fold_batch_norm(graph_def, outputs, weights)
    rewrite_gelu(graph_def, outputs, weights)
    forget_order(graph_def, weights)
    # Most nodes have lost their readers by now, and each one that is left costs time and memory to import.
    kept = [node_of(name) for name in (*inputs, *outputs)]
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(graph_def, kept)
    for node in graph_def.node:
        node.device = ""
    return Program(graph_def, inputs, tuple(outputs), put_back(graph_def, weights, kept))


def _changed(function: Any) -> str:
    """Which variable a function writes to, or one of several, and where, in words; empty where it writes to none."""
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    names = {id(inner): variables[id(outer)].name for outer, inner in function.graph.captures if id(outer) in variables}
    library = function.graph.as_graph_def().library.function
    writers = {one.signature.name for one in library if any(node.op.startswith(_CHANGING) for node in one.node_def)}
    for operation in function.graph.get_operations():
        called = operation.get_attr("f").name if operation.type == "StatefulPartitionedCall" else ""
        if operation.type.startswith(_CHANGING) or called in writers:
            held = [names[id(tensor)] for tensor in operation.inputs if id(tensor) in names]
            return f"{', '.join(held).replace(':0', '') or 'one'} by {operation.name}"
    return "one inside a function" if writers else ""


def forget_order(graph_def: Any, weights: Collection[str]) -> None:
    """Drops waits for nodes that only pass constants and weights on: what is left of reading variables, in place.

    They would keep all the constants that folding has replaced.
    """
    nodes = {node.name: node for node in graph_def.node}
    idle: dict[str, bool] = {}

    def is_idle(name: str) -> bool:
        if name not in idle:
            idle[name] = False
            node = nodes[name]
            idle[name] = (node.op in _IDLE or name in weights) and all(is_idle(node_of(one)) for one in node.input)
        return idle[name]

    for node in graph_def.node:
        kept = [name for name in node.input if not (name.startswith("^") and is_idle(node_of(name)))]
        if len(kept) < len(node.input):
            del node.input[:]
            node.input.extend(kept)
