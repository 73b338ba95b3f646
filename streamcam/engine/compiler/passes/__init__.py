"""Compiler passes: rewrites of a frozen `GraphDef`, one a file.

Each pass preserves the outputs up to rounding. `PASSES` run in this order before TensorFlow's own rewriter, which then
fuses more. `insert_fusion_barriers` runs after it, on CPUs, and blocks two of its fusions. To add a pass, write a
function of a `PassContext` that returns the number of its changes, and add it to `PASSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..graph_editor import PassContext
from .batch_norm import fold_batch_norm
from .broadcast_constants import broadcast_constants
from .channel_order import fold_channel_order
from .control_deps import strip_control_deps
from .fusion_barriers import insert_fusion_barriers
from .gelu import rewrite_gelu
from .grouped_conv import inline_convolutions
from .hoist_strides import hoist_strides
from .padding import fold_padding

__all__ = ["PASSES", "Pass", "fold_batch_norm", "insert_fusion_barriers"]

Pass: TypeAlias = Callable[[PassContext], int]

PASSES: tuple[Pass, ...] = (
    inline_convolutions,
    fold_padding,
    fold_channel_order,
    broadcast_constants,
    hoist_strides,
    fold_batch_norm,
    rewrite_gelu,
    strip_control_deps,
)
"""In the order in which they run: later passes see what earlier ones have folded."""
