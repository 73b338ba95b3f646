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

from ..models.backend import keras, one_at_a_time, tf


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
class Call:
    """One call of a layer while a model ran.

    Attributes:
        path: of the layer; a shared layer has several calls.
        output: what it returned.
        first, last: the graph's operations from ``first`` up to ``last`` were made during the call.
    """

    path: str
    output: Any
    first: int
    last: int

    def holds(self, other: Call) -> bool:
        """True where another call was made during this one."""
        return other is not self and self.first <= other.first and other.last <= self.last


@contextlib.contextmanager
def recorded(layers: dict[str, Any]) -> Iterator[list[Call]]:
    """Records what layers return while a model runs in this thread; the layers are as before afterwards.

    Others that want to record wait meanwhile; other threads may call the layers, which is not recorded.

    Yields:
        The calls in the order in which they return.
    """
    calls: list[Call] = []
    here = threading.get_ident()

    def wrap(path: str, call: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != here:
                return call(*args, **kwargs)
            first = _operations_so_far()
            output = call(*args, **kwargs)
            calls.append(Call(path, output, first, _operations_so_far()))
            return output

        return wrapped

    with one_at_a_time:
        names = {path: _called(layer) for path, layer in layers.items()}
        own = {path: layer.__dict__[names[path]] for path, layer in layers.items() if names[path] in layer.__dict__}
        # Past Keras's own __setattr__, which would track the function as state of the layer.
        for path, layer in layers.items():
            layer.__dict__[names[path]] = wrap(path, getattr(layer, names[path]))
        try:
            yield calls
        finally:
            for path, layer in layers.items():
                if path in own:
                    layer.__dict__[names[path]] = own[path]
                else:
                    del layer.__dict__[names[path]]


def _called(layer: Any) -> str:
    """The method in which Keras runs a layer."""
    return "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"


def _operations_so_far() -> int:
    return len(tf.compat.v1.get_default_graph().get_operations())


def readers_of(tensor: Any) -> set[str]:
    """Names of all tensors of the same graph that are computed from a tensor, its own included."""
    seen = {tensor.name}
    waiting = [tensor]
    while waiting:
        for reader in waiting.pop().consumers():
            for after in reader.outputs:
                if after.name not in seen:
                    seen.add(after.name)
                    waiting.append(after)
    return seen


def depends_on(tensor: Any) -> set[str]:
    """Names of all tensors of the same graph that a tensor is computed from, its own included."""
    seen = {tensor.name}
    waiting = [tensor]
    while waiting:
        for before in waiting.pop().op.inputs:
            if before.name not in seen:
                seen.add(before.name)
                waiting.append(before)
    return seen
