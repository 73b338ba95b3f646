"""What TensorFlow 2.21 fuses wrongly on processors is kept apart.

A convolution that adds to its result what another operation has made does so in that operation's memory, unless
somebody else still needs what is there. Then it is copied first, by way of what belongs to the operation and not to the
run: two runs at once give wrong numbers, or end the process. A leaky ReLU that is fused behind such a sum has a slope
of 0.2 whatever it is (Keras' is 0.3, YOLO's 0.1).

Behind a snapshot, which hands on what it gets, nothing of this is fused.
"""

from __future__ import annotations

from typing import Any

from ..names import node_of
from .graph import Graph

_CONTRACTIONS = ("Conv2D", "DepthwiseConv2dNative", "Conv3D", "MatMul")
_SUMS = ("Add", "AddV2")
_ITS_SLOPE = 0.2

_OF_THEIR_OWN = frozenset(
    (
        *("Conv2D", "DepthwiseConv2dNative", "MatMul", "BiasAdd", "MaxPool", "AvgPool"),
        *("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum"),
        *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus"),
    )
)
"""Operations whose results lie in memory that nothing else has a part in once they have run."""


def keep_apart(graph_def: Any, outputs: list[str]) -> int:
    """Puts snapshots where fusing would be wrong, in place.

    Args:
        graph_def: a `GraphDef` of which a session makes no more than fused operations.
        outputs: names of the tensors that somebody asks for.

    Returns:
        How many there were.
    """
    graph = Graph(graph_def, outputs)
    apart = 0
    for node in list(graph_def.node):
        if node.op in _SUMS:
            for position in (0, 1):
                if _is_fused(node, position, graph) and not _is_free(node, position, graph):
                    _keep(graph, node, position)
                    apart += 1
        elif _has_another_slope(node) and graph.nodes[node_of(node.input[0])].op in _SUMS:
            _keep(graph, node, 0)
            apart += 1
    return apart


def _keep(graph: Graph, node: Any, position: int) -> None:
    node.input[position] = graph.add(f"{node.name}/apart", "Snapshot", [node.input[position]], node).name


def _has_another_slope(node: Any) -> bool:
    return bool(node.op == "LeakyRelu" and abs(node.attr["alpha"].f - _ITS_SLOPE) > 1e-7)


def _is_fused(total: Any, position: int, graph: Graph) -> bool:
    """True where that operand of a sum may be a convolution that does the adding."""
    return _contraction(graph.nodes[node_of(total.input[position])], graph) is not None


def _contraction(node: Any, graph: Graph) -> Any:
    """The convolution or dense layer whose result a node is, with or without bias; None where it is neither."""
    behind = [node]
    if node.op in ("BiasAdd", *_SUMS):
        behind += [graph.nodes[node_of(tensor)] for tensor in node.input]
    return next((one for one in behind if one.op in _CONTRACTIONS), None)


def _is_free(total: Any, position: int, graph: Graph) -> bool:
    """True where nobody else needs the other operand when the convolution at ``position`` runs."""
    other = graph.nodes[node_of(total.input[1 - position])]
    readers = [graph.nodes[name] for name in graph.readers[other.name] if name != total.name]
    if other.name in graph.kept or any(node.op not in _OF_THEIR_OWN for node in (other, *readers)):
        return False
    if graph.readers[other.name].count(total.name) != 1:
        return False
    convolution = _contraction(graph.nodes[node_of(total.input[position])], graph)
    before = _before(convolution, graph)
    return all(reader.name in before for reader in readers)


def _before(node: Any, graph: Graph) -> set[str]:
    """Names of all nodes that have run when a node runs."""
    found: set[str] = set()
    ahead = [node]
    while ahead:
        for tensor in ahead.pop().input:
            name = node_of(tensor)
            if name not in found:
                found.add(name)
                ahead.append(graph.nodes[name])
    return found
