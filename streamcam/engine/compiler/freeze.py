"""Freeze a traced function and run the compiler passes (`passes.PASSES`) on it.

Each pass preserves the outputs up to rounding. The passes work on the graph, which covers every kind of Keras model,
and run before TensorFlow's own rewriter, which then fuses more.
"""

from __future__ import annotations

from typing import Any

from ...errors import ModelError, error_summary
from ...tf import tf
from ..runtime.frozen_graph import FrozenGraph
from .external_weights import externalize_weights, restore_weights
from .graph_editor import PassContext, node_name
from .passes import PASSES

_WRITE_PREFIXES = ("Assign", "ResourceScatter", "ResourceStridedSliceAssign")
"""Prefixes of the operations that write to a variable."""


def freeze(function: Any) -> FrozenGraph:
    """Freeze a concrete function into a graph of constants and optimise it.

    Args:
        function: a `tf.types.experimental.ConcreteFunction` of tensors that returns a flat list of tensors.

    Returns:
        A graph with the same inputs and outputs and without variables: the model is no longer needed.

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
                f"the model changes a variable on every call: {variable_write}",
                expected="a model that only reads its variables",
                hint="update variables only if training=True (streamcam calls the layers with training=False)",
            ) from error
        raise ModelError(
            f"TensorFlow cannot freeze the model: {error_summary(error)}",
            hint="use a method without gradients, such as occlusion, scorecam or eigencam",
        ) from error
    captured = {tensor.name for tensor in function.graph.internal_captures}
    inputs = tuple(tensor.name for tensor in function.inputs if tensor.name not in captured)
    outputs = tuple(tensor.name for tensor in function.outputs)

    def shape_of(tensor: str) -> Any:
        name, _, output = tensor.partition(":")
        try:
            return graph.get_operation_by_name(name).outputs[int(output or 0)].shape
        except KeyError:  # a pass has added it
            return tf.TensorShape(None)

    context = PassContext(graph_def, inputs, outputs, shape_of, weights)
    for run_pass in PASSES:
        run_pass(context)
    # Most nodes have no reader any more, and each remaining one costs time and memory to import.
    kept_nodes = [node_name(name) for name in (*inputs, *outputs)]
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(graph_def, kept_nodes)
    for node in graph_def.node:
        node.device = ""
    return FrozenGraph(graph_def, inputs, outputs, restore_weights(graph_def, weights, kept_nodes))


def _find_variable_write(function: Any) -> str:
    """Describe a variable write of a function; empty if there is none."""
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
