"""Inline the functions that a model calls in its graph: `tf.function`, with or without XLA, and ``TFSMLayer``."""

from __future__ import annotations

from typing import Any

from ...tf import function_def_to_graph, tf

CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def inline_call(tensor: Any) -> Any | None:
    """Copy the body of a called function into the graph.

    Freezing later prunes the parts of the copy that have no reader.

    Args:
        tensor: an output of the call.

    Returns:
        The same value, computed by the copy; None if the body cannot be copied.
    """
    call, graph = tensor.op, tensor.graph
    function = graph._get_function(call.get_attr("f").name)
    if function is None:
        return None
    with graph.as_default():
        body = function_def_to_graph(function.cached_definition)
    definition = body.as_graph_def()
    if any("_gradient_op_type" in node.attr for node in definition.node):
        # A custom gradient reads tensors of the graph in which it was traced.
        return None
    input_map = {inside.name: outside for inside, outside in zip(body.inputs, call.inputs, strict=True)}
    returned = body.outputs[tensor.value_index].name
    with graph.as_default():
        (found,) = tf.graph_util.import_graph_def(definition, input_map, [returned], name=f"{call.name}/inlined")
    return found
