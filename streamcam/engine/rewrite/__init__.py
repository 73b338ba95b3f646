"""Rewrites of a frozen `GraphDef` that leave the numbers as they are and let TensorFlow fuse more; one a file."""

from .batch_norm import fold_batch_norm
from .calls import inline_convolutions
from .gelu import rewrite_gelu
from .padding import merge_padding

__all__ = ["fold_batch_norm", "inline_convolutions", "merge_padding", "rewrite_gelu"]
