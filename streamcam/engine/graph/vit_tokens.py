"""Find the offset of patch tokens after extra ones (class token)."""

from __future__ import annotations

from typing import Any

from ...tf import tf
from .layer_trace import ancestors


def patch_token_offset(tokens: Any, num_patches: int, after: set[str]) -> int | None:
    """Return the number of tokens before the patch tokens.

    Searches the last concatenation along the token axis: the patch tokens are the operand that depends on the images
    and is long enough.

    Args:
        tokens: symbolic tensor ``(N, num_patches + extra tokens, K)``.
        num_patches: number of patches in the image.
        after: names of all tensors computed from the images.

    Returns:
        The offset; None if the graph does not show it.
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
    """Return the operands of a concatenation along the token axis; empty for another axis or length."""
    *parts, axis = concatenation.inputs
    whole = concatenation.outputs[0].shape
    if whole.rank != 3 or whole[1] != length or tf.get_static_value(axis) not in (1, -2):
        return []
    return parts if all(part.shape[1] for part in parts) else []
