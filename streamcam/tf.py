"""The only place that imports TensorFlow and Keras: ``from streamcam.tf import keras, tf``.

The import takes seconds and prints lines that do not concern the user. So this module imports late and suppresses the
output. Environment variables that the user has set keep their value.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator

from .xla_cache import keep_xla_programs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow enables oneDNN by default only on CPUs with AVX512; it is also faster with AVX2 alone
# (MobileNetV2, batch 16: 18 instead of 32 CPU ms per frame).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"
keep_xla_programs()


@contextlib.contextmanager
def _suppress_stderr() -> Iterator[None]:
    """Capture early C++ output on stderr; print it if the block fails."""
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
    """Disable garbage collection during the import, which creates a million permanent objects.

    Collections would take a sixth of the time. Afterwards move the new objects to the oldest generation (freeze, then
    unfreeze), unless the program froze objects itself.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # moves them to the oldest generation; frozen objects would never be collected
        if enabled:
            gc.enable()


with _suppress_stderr(), _pause_gc(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras
    import tensorflow as tf

    # No public API for the definitions of operations: their types, and if they have state.
    from tensorflow.python.framework import op_def_registry
    from tensorflow.python.framework.convert_to_constants import _construct_concrete_function as construct_function

    # TensorFlow 2 has no public API for freezing; its own converters use these.
    from tensorflow.python.framework.convert_to_constants import _FunctionConverterDataInEager as FunctionConverter
    from tensorflow.python.framework.convert_to_constants import _replace_variables_by_constants as replace_variables
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # No public API for the body of a function in a graph either.
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    # No public API for the gradient that TensorFlow registers for an operation either.
    from tensorflow.python.framework.ops import gradient_registry

    tf.get_logger().setLevel("ERROR")
    tf.config.list_physical_devices()

model_lock = threading.RLock()
"""Held while a user's model is built or its layers are patched: several explainers may share a model."""

__all__ = [
    "FunctionConverter",
    "construct_function",
    "convert_variables_to_constants_v2",
    "function_def_to_graph",
    "gradient_registry",
    "keras",
    "model_lock",
    "op_def_registry",
    "replace_variables",
    "tf",
]
