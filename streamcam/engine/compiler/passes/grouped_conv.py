"""Inline grouped convolutions that Keras compiles with XLA.

Keras compiles every grouped convolution (ConvNeXt, ResNeXt) with XLA, because of its gradient on CPUs. XLA takes five
to ten times as long as oneDNN, and the function call blocks folding and fusion.
"""

from __future__ import annotations

from typing import Any

from ..graph_editor import PassContext, node_name

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")


def inline_convolutions(context: PassContext) -> int:
    """Replace calls of single-convolution functions by the convolution, in place.

    Returns:
        The number of replaced calls.
    """
    graph = context.edit()
    functions = {function.signature.name: function for function in context.graph_def.library.function}
    inlined = 0
    for call in [node for node in context.graph_def.node if node.op in _CALLS and node.name not in graph.preserved]:
        found = _only_convolution(functions[call.attr["f"].func.name])
        if found is None:
            continue
        convolution, positions = found
        tensors = {place: call.input[position] for place, position in enumerate(positions)}
        node = graph.copy(convolution, f"{call.name}/inlined", tensors)
        # A call is stateful and has control dependencies; on the convolution they would count as a second reader.
        graph.drop_control_deps(call.name)
        graph.redirect(call.name, node.name)
        inlined += 1
    return inlined


def _only_convolution(function: Any) -> tuple[Any, list[int]] | None:
    """Return a function's only operation, a convolution, and its argument positions; or None."""
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
