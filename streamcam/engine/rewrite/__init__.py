"""Rewrites of a frozen `GraphDef` that leave the numbers as they are and let TensorFlow fuse more; one a file."""

from .apart import keep_apart
from .batch_norm import fold_batch_norm
from .calls import inline_convolutions
from .gelu import rewrite_gelu
from .narrow import widen_constants
from .order import move_order
from .padding import merge_padding
from .strides import move_strides

__all__ = [
    "fold_batch_norm",
    "inline_convolutions",
    "keep_apart",
    "merge_padding",
    "move_order",
    "move_strides",
    "rewrite_gelu",
    "widen_constants",
]
