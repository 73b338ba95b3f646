"""Classifiers: the built-in one, `keras.applications`, a model file, a Keras object, or a function that returns one.

Importing this package loads neither Keras nor TensorFlow; `load_model` does. `MODELS` lists the models by name; any
other one works as ``package.module:function``.
"""

from __future__ import annotations

from .load import LoadedModel, ModelInfo, load_model
from .registry import MODELS, ModelEntry
from .targets import Target, TargetSet, parse_target

__all__ = ["MODELS", "LoadedModel", "ModelEntry", "ModelInfo", "Target", "TargetSet", "load_model", "parse_target"]
