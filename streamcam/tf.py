"""The one door to TensorFlow and Keras: ``from streamcam.tf import keras, tf``.

Importing them takes seconds and prints lines that no user can act on, so the import happens here only, late, and
with the chatter turned off. Environment variables that the user has set are left alone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow turns oneDNN on by itself only where the processor has AVX512; with AVX2 alone it is faster all the
# same (MobileNetV2, batch 16: 18 instead of 32 CPU ms a frame).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"


@contextlib.contextmanager
def _suppress_stderr() -> Iterator[None]:
    """Keeps what C++ code writes to stderr before its logging is set up; shows it when the block fails."""
    with tempfile.TemporaryFile() as captured:
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except Exception:
            captured.seek(0)
            os.write(stderr, captured.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def _pause_gc() -> Iterator[None]:
    """Without garbage collections while a million objects are made that stay: they take a sixth of TensorFlow's import.

    Nor is there one right afterwards that looks at them all: what was made counts as having survived, but in a program
    with frozen objects of its own, which has to leave them so.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # into the oldest generation; objects that stay frozen would never be collected
        if enabled:
            gc.enable()


with _suppress_stderr(), _pause_gc(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras
    import tensorflow as tf

    # Freezing has no public name in TensorFlow 2; its own converters use these.
    from tensorflow.python.framework.convert_to_constants import _FunctionConverterDataInEager as FunctionConverter
    from tensorflow.python.framework.convert_to_constants import _replace_variables_by_constants as replace_variables
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # The same for the body of a function in a graph.
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    # Nor is there a public way to the gradient that TensorFlow itself has for an operation.
    from tensorflow.python.framework.ops import gradient_registry

    tf.get_logger().setLevel("ERROR")
    tf.config.list_physical_devices()

model_lock = threading.RLock()
"""Held by whoever builds a model of the user's or puts anything into its layers: several explainers may share it."""

__all__ = [
    "FunctionConverter",
    "convert_variables_to_constants_v2",
    "function_def_to_graph",
    "gradient_registry",
    "keras",
    "model_lock",
    "replace_variables",
    "tf",
]
