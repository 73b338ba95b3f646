"""Models: the embedded one, any of `keras.applications`, a file, or a function that makes one.

Importing this package loads neither Keras nor TensorFlow; `load_model` does.
"""

from __future__ import annotations

from .load import LoadedModel, ModelInfo, load_model
from .registry import ModelEntry, list_models
from .targets import Target, parse_target

__all__ = ["LoadedModel", "ModelEntry", "ModelInfo", "Target", "list_models", "load_model", "parse_target"]
