"""Strip control dependencies on nodes that only forward constants and weights.

They remain from the reads of variables, and would keep all the constants that the other passes have replaced.
"""

from __future__ import annotations

from ..graph_editor import PassContext, node_name

_PASSIVE_OPERATIONS = ("Const", "Identity", "NoOp")


def strip_control_deps(context: PassContext) -> int:
    """Remove control dependencies on constants, weights and their identities.

    Returns:
        The number of nodes that lost a control dependency.
    """
    nodes = {node.name: node for node in context.graph_def.node}
    weights = context.weights or {}
    passive: dict[str, bool] = {}

    def is_passive(name: str) -> bool:
        if name not in passive:
            passive[name] = False
            node = nodes[name]
            passive[name] = (node.op in _PASSIVE_OPERATIONS or name in weights) and all(
                is_passive(node_name(one)) for one in node.input
            )
        return passive[name]

    stripped = 0
    for node in context.graph_def.node:
        inputs = [name for name in node.input if not (name.startswith("^") and is_passive(node_name(name)))]
        if len(inputs) < len(node.input):
            del node.input[:]
            node.input.extend(inputs)
            stripped += 1
    return stripped
