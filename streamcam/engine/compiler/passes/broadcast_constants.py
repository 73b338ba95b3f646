"""Constants of one number a channel that pictures are prepared with are repeated along a row.

TensorFlow's loops go along what both operands share, which for a pixel's three channels are three values at a time:
adding them takes seven times as long as adding a row of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..external_weights import Weights
from ..graph_editor import GraphEditor, constant_operand
from ..names import node_name


def broadcast_constants(
    graph_def: Any, inputs: Sequence[str], shape_of: Callable[[str], Any], weights: Weights | None = None
) -> int:
    """Repeats along a row what is added to pictures, or multiplied with them, before anything else is done, in place.

    Args:
        graph_def: a frozen `GraphDef`; nodes that nothing reads any more are left for pruning.
        inputs: names of the tensors of pictures.
        shape_of: the `tf.TensorShape` of a tensor.
        weights: those beside the graph.

    Returns:
        How many constants were repeated.
    """
    graph = GraphEditor(graph_def, (), weights)
    broadcast = 0
    for node, position in _find_preprocessing(graph, inputs):
        value, image_shape = graph.constants[node.input[position]], shape_of(node.input[1 - position])
        if image_shape.rank != 4 or not image_shape[2:].is_fully_defined() or value.ndim > 4 or value.size == 1:
            continue
        _, _, columns, channels = image_shape.as_list()
        if value.shape == (*(1,) * (value.ndim - 1), channels):
            row = np.tile(value.reshape(1, -1), (columns, 1))
            node.input[position] = graph.add_constant(f"{node.name}/row", row)
            broadcast += 1
    return broadcast


def _find_preprocessing(graph: GraphEditor, inputs: Sequence[str]) -> Iterator[tuple[Any, int]]:
    """Sums, products and so on of pictures and constants, with which operand is the constant."""
    found = [node_name(name) for name in inputs]
    for at in found:
        for name in graph.readers[at]:
            node = graph.nodes[name]
            position = constant_operand(node, graph)
            if position is not None:
                yield node, position
            if (position is not None or node.op in ("Cast", "Identity")) and name not in found:
                found.append(name)
