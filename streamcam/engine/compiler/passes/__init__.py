"""Rewrites of a frozen `GraphDef` that leave the numbers as they are and let TensorFlow fuse more; one a file."""

from .batch_norm import fold_batch_norm
from .broadcast_constants import broadcast_constants
from .channel_order import fold_channel_order
from .fusion_barriers import insert_fusion_barriers
from .gelu import rewrite_gelu
from .grouped_conv import inline_convolutions
from .hoist_strides import hoist_strides
from .padding import fold_padding

__all__ = [
    "broadcast_constants",
    "fold_batch_norm",
    "fold_channel_order",
    "fold_padding",
    "hoist_strides",
    "inline_convolutions",
    "insert_fusion_barriers",
    "rewrite_gelu",
]
