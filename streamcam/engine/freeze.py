"""Turns a traced function into constants and rewrites it for speed: the rewrites are in `rewrite`, one a file.

Each leaves the numbers as they are, up to rounding, and the tensors that somebody reads. They are done on the graph,
which reaches every kind of Keras model, and before TensorFlow's own rewriter, which fuses what they leave.
"""

from __future__ import annotations

from typing import Any

from ..models.backend import convert_variables_to_constants_v2, tf
from .rewrite import fold_batch_norm, inline_convolutions, merge_padding, rewrite_gelu
from .rewrite.graph import node_of


def freeze(function: Any) -> Any:
    """A function of constants that computes what a concrete function computes, rewritten to run fast.

    Args:
        function: a `tf.types.experimental.ConcreteFunction` of tensors that returns a flat list of tensors.

    Returns:
        A function with the same inputs and outputs that holds no variable: the model may go away.
    """
    graph_def, inputs, outputs = _rewritten(convert_variables_to_constants_v2(function))

    def imported(*given: Any) -> list[Any]:
        replaced = {name: value for (name, _), value in zip(inputs, given, strict=True)}
        tensors: list[Any] = tf.graph_util.import_graph_def(graph_def, replaced, outputs, name="frozen")
        graph_def.Clear()  # the function keeps what is called here, and has the constants now
        return tensors

    return tf.compat.v1.wrap_function(imported, [specification for _, specification in inputs])


def _rewritten(frozen: Any) -> tuple[Any, list[tuple[str, Any]], list[str]]:
    """The graph, its inputs' names and specifications, and its outputs' names; the frozen function may go away."""
    graph, graph_def = frozen.graph, frozen.graph.as_graph_def()
    inputs = [(tensor.name, tf.TensorSpec(tensor.shape, tensor.dtype)) for tensor in frozen.inputs]
    outputs = [tensor.name for tensor in frozen.outputs]
    inline_convolutions(graph_def, outputs)
    merge_padding(graph_def, outputs, lambda name: graph.get_operation_by_name(name).outputs[0].shape)
    fold_batch_norm(graph_def, outputs)
    rewrite_gelu(graph_def, outputs)
    # Most nodes have lost their readers by now, and each one that is left costs time and memory to import.
    kept = [node_of(name) for name in (*(name for name, _ in inputs), *outputs)]
    return tf.compat.v1.graph_util.extract_sub_graph(graph_def, kept), inputs, outputs
