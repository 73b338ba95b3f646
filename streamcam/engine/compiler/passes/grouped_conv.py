"""Convolutions out of functions that Keras has compiled by XLA.

Keras hands every grouped convolution (ConvNeXt, ResNeXt) to XLA, for the sake of its gradient on processors. There it
takes five to ten times as long as in oneDNN, and nothing can be folded or fused through the call.
"""

from __future__ import annotations

from typing import Any

from ..graph_editor import GraphEditor
from ..names import node_name

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")


def inline_convolutions(graph_def: Any, outputs: list[str]) -> int:
    """Puts a convolution in the place of each call of a function that does nothing but that convolution, in place.

    Args:
        graph_def: a frozen `GraphDef`; nodes that nothing reads any more are left for pruning.
        outputs: names of the tensors that must keep their value.

    Returns:
        How many calls were replaced.
    """
    graph = GraphEditor(graph_def, outputs)
    functions = {function.signature.name: function for function in graph_def.library.function}
    inlined = 0
    for call in [node for node in graph_def.node if node.op in _CALLS and node.name not in graph.preserved]:
        found = _only_convolution(functions[call.attr["f"].func.name])
        if found is None:
            continue
        convolution, positions = found
        tensors = {place: call.input[position] for place, position in enumerate(positions)}
        node = graph.copy(convolution, f"{call.name}/inlined", tensors)
        # A call counts as stateful and is waited for; a convolution that somebody waits for would have two readers.
        graph.drop_control_deps(call.name)
        graph.redirect(call.name, node.name)
        inlined += 1
    return inlined


def _only_convolution(function: Any) -> tuple[Any, list[int]] | None:
    """The convolution that is all a function does, and which arguments are its picture and kernel."""
    nodes = {node.name: node for node in function.node_def}
    arguments = [argument.name for argument in function.signature.input_arg]
    convolutions = [node for node in nodes.values() if node.op == "Conv2D"]
    others = {node.op for node in nodes.values()} - {"Conv2D", "Identity", "NoOp"}
    if len(convolutions) != 1 or others or len(function.ret) != 1:
        return None

    def source(tensor: str) -> str:
        name = node_name(tensor)
        while name in nodes and nodes[name].op == "Identity":
            name = node_name(nodes[name].input[0])
        return name

    convolution = convolutions[0]
    operands = [source(name) for name in convolution.input if not name.startswith("^")]
    returned = source(next(iter(function.ret.values())))
    if returned != convolution.name or any(name not in arguments for name in operands):
        return None
    return convolution, [arguments.index(name) for name in operands]
