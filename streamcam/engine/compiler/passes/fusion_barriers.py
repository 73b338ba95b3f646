"""Block two fusions that TensorFlow 2.21 gets wrong on CPUs.

A convolution fused with a sum (Conv + Add) writes its result into the buffer of the other operand. If that operand has
another reader, TensorFlow copies it first, through state that belongs to the operation and not to the run: two
concurrent runs give wrong numbers or crash the process. And a leaky ReLU fused after such a sum always has a slope of
0.2 (Keras uses 0.3, YOLO 0.1).

A `Snapshot` operation, which forwards its input, blocks both fusions.
"""

from __future__ import annotations

from typing import Any

from ..graph_editor import GraphEditor, PassContext, node_name

_CONTRACTIONS = ("Conv2D", "DepthwiseConv2dNative", "Conv3D", "MatMul")
_SUMS = ("Add", "AddV2")
_FUSED_SLOPE = 0.2

_OWN_BUFFER = frozenset(
    (
        *("Conv2D", "DepthwiseConv2dNative", "MatMul", "BiasAdd", "MaxPool", "AvgPool"),
        *("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum"),
        *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus"),
    )
)
"""Operations whose result has its own buffer, not shared with another tensor after they have run."""


def insert_fusion_barriers(context: PassContext) -> int:
    """Insert snapshots where TensorFlow's fusion would be wrong, in place.

    Run this after TensorFlow's rewriter: a session then only fuses the operations of the graph.

    Returns:
        The number of snapshots.
    """
    graph = context.edit()
    inserted = 0
    for node in list(context.graph_def.node):
        if node.op in _SUMS:
            for position in (0, 1):
                if _is_fused(node, position, graph) and not _is_free(node, position, graph):
                    _insert_snapshot(graph, node, position)
                    inserted += 1
        elif _has_unsupported_slope(node) and graph.nodes[node_name(node.input[0])].op in _SUMS:
            _insert_snapshot(graph, node, 0)
            inserted += 1
    return inserted


def _insert_snapshot(graph: GraphEditor, node: Any, position: int) -> None:
    node.input[position] = graph.add(f"{node.name}/apart", "Snapshot", [node.input[position]], node).name


def _has_unsupported_slope(node: Any) -> bool:
    return bool(node.op == "LeakyRelu" and abs(node.attr["alpha"].f - _FUSED_SLOPE) > 1e-7)


def _is_fused(total: Any, position: int, graph: GraphEditor) -> bool:
    """Return True if an operand is a convolution that may fuse."""
    return _contraction(graph.nodes[node_name(total.input[position])], graph) is not None


def _contraction(node: Any, graph: GraphEditor) -> Any:
    """Return the convolution or dense layer behind a node; or None."""
    candidates = [node]
    if node.op in ("BiasAdd", *_SUMS):
        candidates += [graph.nodes[node_name(tensor)] for tensor in node.input]
    return next((one for one in candidates if one.op in _CONTRACTIONS), None)


def _is_free(total: Any, position: int, graph: GraphEditor) -> bool:
    """Return True if the fused convolution may overwrite the other operand."""
    other = graph.nodes[node_name(total.input[1 - position])]
    readers = [graph.nodes[name] for name in graph.readers[other.name] if name != total.name]
    if other.name in graph.preserved or any(node.op not in _OWN_BUFFER for node in (other, *readers)):
        return False
    if graph.readers[other.name].count(total.name) != 1:
        return False
    convolution = _contraction(graph.nodes[node_name(total.input[position])], graph)
    before = _ancestors(convolution, graph)
    return all(reader.name in before for reader in readers)


def _ancestors(node: Any, graph: GraphEditor) -> set[str]:
    """Return the names of all nodes that run before a node."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for tensor in waiting.pop().input:
            name = node_name(tensor)
            if name not in found:
                found.add(name)
                waiting.append(graph.nodes[name])
    return found
