"""What a model is made of, found on the graph that it really runs.

Keras lets a model be built in many ways (functional, nested, subclassed), and each hides its inside differently.
Tracing one call and reading the graph works for all of them: every layer's output is recorded while the model
runs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...tf import keras, model_lock, tf


def layer_paths(model: Any) -> dict[str, Any]:
    """Every layer of a model by path, nested ones after the layer that holds them, shared ones once.

    Operations of a functional model that are no layers (``x + y``) are in it as well.
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
    """One call of a layer while a model ran.

    Attributes:
        path: of the layer; a shared layer has several calls.
        output: what it returned.
        first_operation, last_operation: the graph's operations from ``first_operation`` up to ``last_operation`` were made during the call.
    """

    path: str
    output: Any
    first_operation: int
    last_operation: int

    def encloses(self, other: LayerCall) -> bool:
        """True where another call was made during this one."""
        return (
            other is not self
            and self.first_operation <= other.first_operation
            and other.last_operation <= self.last_operation
        )


@contextlib.contextmanager
def record_layer_calls(layers: dict[str, Any]) -> Iterator[list[LayerCall]]:
    """Records what layers return while a model runs in this thread; the layers are as before afterwards.

    Others that want to record wait meanwhile; other threads may call the layers, which is not recorded.

    Yields:
        The calls in the order in which they return.
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
        # Past Keras's own __setattr__, which would track the function as state of the layer.
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
    """The method in which Keras runs a layer."""
    return "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"


def _operation_count() -> int:
    return len(tf.compat.v1.get_default_graph().get_operations())


def descendants(tensor: Any) -> set[str]:
    """Names of all tensors of the same graph that are computed from a tensor, its own included."""
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
    """Names of all tensors of the same graph that a tensor is computed from, its own included."""
    seen = {tensor.name}
    waiting = [tensor]
    while waiting:
        for input_tensor in waiting.pop().op.inputs:
            if input_tensor.name not in seen:
                seen.add(input_tensor.name)
                waiting.append(input_tensor)
    return seen
