"""Where the tokens of the picture lie among others, such as a class token, read off the graph."""

from __future__ import annotations

from typing import Any

from ...tf import tf
from .layer_trace import ancestors


def patch_token_offset(tokens: Any, num_patches: int, after: set[str]) -> int | None:
    """How many tokens lie before those of the picture.

    Where tokens were last put together, the picture's are in a part that depends on it and is long enough.

    Args:
        tokens: ``(N, cells and more, K)``.
        num_patches: of the grid.
        after: names of all tensors that are computed from the pictures.

    Returns:
        None where the graph does not show it.
    """
    length = int(tokens.shape[1])
    if length == num_patches:
        return 0
    needed = ancestors(tokens)
    for operation in reversed(tokens.graph.get_operations()):
        parts = _concat_parts(operation, length) if operation.type == "ConcatV2" else []
        if not parts or operation.outputs[0].name not in needed:
            continue
        offset = 0
        for part in parts:
            inside = (
                patch_token_offset(part, num_patches, after)
                if part.shape[1] >= num_patches and part.name in after
                else None
            )
            if inside is not None:
                return offset + inside
            offset += int(part.shape[1])
    return None


def _concat_parts(concatenation: Any, length: int) -> list[Any]:
    """What is put one after the other along the axis of so many tokens; empty where it is another axis."""
    *parts, axis = concatenation.inputs
    whole = concatenation.outputs[0].shape
    if whole.rank != 3 or whole[1] != length or tf.get_static_value(axis) not in (1, -2):
        return []
    return parts if all(part.shape[1] for part in parts) else []
