"""Names in a `GraphDef`."""

from __future__ import annotations


def node_name(tensor: str) -> str:
    """The name of the node that makes a tensor, or that is waited for."""
    return tensor.removeprefix("^").partition(":")[0]
