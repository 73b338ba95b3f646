"""Record layer calls of a traced model, follow tensors in its graph.

Keras models are functional, nested or subclassed, and each kind exposes its layers differently. Recording one traced
call works for all of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...tf import keras, model_lock, tf


def layer_paths(model: Any) -> dict[str, Any]:
    """Return every layer of a model by path; nested layers follow their parent, shared layers appear once.

    Operations of a functional model that are not layers (``x + y``) are included.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()

    def walk(layer: Any, prefix: str) -> None:
        operations = [step for step in getattr(layer, "operations", ()) if not isinstance(step, keras.layers.Layer)]
        for inner in (*layer._flatten_layers(include_self=False, recursive=False), *operations):
            if id(inner) in seen or isinstance(inner, keras.layers.InputLayer):
                continue
            seen.add(id(inner))
            path = prefix + inner.name
            while path in found:
                path += "'"
            found[path] = inner
            if isinstance(inner, keras.layers.Layer):
                walk(inner, path + "/")

    walk(model, "")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class LayerCall:
    """One recorded call of a layer.

    Attributes:
        path: path of the layer; a shared layer has several calls.
        output: return value of the layer.
        first_operation: number of operations in the graph before the call.
        last_operation: number of operations in the graph after the call; the call created those in between.
    """

    path: str
    output: Any
    first_operation: int
    last_operation: int

    def encloses(self, other: LayerCall) -> bool:
        """Return True if another call was made during this one."""
        return (
            other is not self
            and self.first_operation <= other.first_operation
            and other.last_operation <= self.last_operation
        )


@contextlib.contextmanager
def record_layer_calls(layers: dict[str, Any]) -> Iterator[list[LayerCall]]:
    """Record the outputs of layers while a model runs in this thread.

    Patches the layers and restores them afterwards. Holds the model lock: recordings are serialised. Calls from other
    threads work and are not recorded.

    Args:
        layers: layers by path, as from `layer_paths`.

    Yields:
        The calls, in the order in which they return.
    """
    calls: list[LayerCall] = []
    thread_id = threading.get_ident()

    def make_recorder(path: str, call: Any) -> Any:
        def record(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread_id:
                return call(*args, **kwargs)
            first = _operation_count()
            output = call(*args, **kwargs)
            calls.append(LayerCall(path, output, first, _operation_count()))
            return output

        return record

    with model_lock:
        names = {path: _call_method_name(layer) for path, layer in layers.items()}
        instance_methods = {
            path: layer.__dict__[names[path]] for path, layer in layers.items() if names[path] in layer.__dict__
        }
        # Bypass Keras's __setattr__, which would track the function as state of the layer.
        for path, layer in layers.items():
            layer.__dict__[names[path]] = make_recorder(path, getattr(layer, names[path]))
        try:
            yield calls
        finally:
            for path, layer in layers.items():
                if path in instance_methods:
                    layer.__dict__[names[path]] = instance_methods[path]
                else:
                    del layer.__dict__[names[path]]


def _call_method_name(layer: Any) -> str:
    """Return the name of the method with which Keras runs a layer."""
    return "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"


def _operation_count() -> int:
    return len(tf.compat.v1.get_default_graph().get_operations())


def descendants(tensor: Any) -> set[str]:
    """Return the names of a tensor and all tensors computed from it."""
    seen = {tensor.name}
    waiting = [tensor]
    while waiting:
        for reader in waiting.pop().consumers():
            for output in reader.outputs:
                if output.name not in seen:
                    seen.add(output.name)
                    waiting.append(output)
    return seen


def ancestors(tensor: Any) -> set[str]:
    """Return the names of a tensor and all tensors it depends on."""
    seen = {tensor.name}
    waiting = [tensor]
    while waiting:
        for input_tensor in waiting.pop().op.inputs:
            if input_tensor.name not in seen:
                seen.add(input_tensor.name)
                waiting.append(input_tensor)
    return seen
