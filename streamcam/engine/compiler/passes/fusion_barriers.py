"""What TensorFlow 2.21 fuses wrongly on processors is kept apart.

A convolution that adds to its result what another operation has made does so in that operation's memory, unless
somebody else still needs what is there. Then it is copied first, by way of what belongs to the operation and not to the
run: two runs at once give wrong numbers, or end the process. A leaky ReLU that is fused behind such a sum has a slope
of 0.2 whatever it is (Keras' is 0.3, YOLO's 0.1).

Behind a snapshot, which hands on what it gets, nothing of this is fused.
"""

from __future__ import annotations

from typing import Any

from ..graph_editor import GraphEditor
from ..names import node_name

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
"""Operations whose results lie in memory that nothing else has a part in once they have run."""


def insert_fusion_barriers(graph_def: Any, outputs: list[str]) -> int:
    """Puts snapshots where fusing would be wrong, in place.

    Args:
        graph_def: a `GraphDef` of which a session makes no more than fused operations.
        outputs: names of the tensors that somebody asks for.

    Returns:
        How many there were.
    """
    graph = GraphEditor(graph_def, outputs)
    inserted = 0
    for node in list(graph_def.node):
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
    """True where that operand of a sum may be a convolution that does the adding."""
    return _contraction(graph.nodes[node_name(total.input[position])], graph) is not None


def _contraction(node: Any, graph: GraphEditor) -> Any:
    """The convolution or dense layer whose result a node is, with or without bias; None where it is neither."""
    candidates = [node]
    if node.op in ("BiasAdd", *_SUMS):
        candidates += [graph.nodes[node_name(tensor)] for tensor in node.input]
    return next((one for one in candidates if one.op in _CONTRACTIONS), None)


def _is_free(total: Any, position: int, graph: GraphEditor) -> bool:
    """True where nobody else needs the other operand when the convolution at ``position`` runs."""
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
    """Names of all nodes that have run when a node runs."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for tensor in waiting.pop().input:
            name = node_name(tensor)
            if name not in found:
                found.add(name)
                waiting.append(graph.nodes[name])
    return found
