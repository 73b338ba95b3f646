"""What a model is made of, found on the graph that it really runs.

Keras lets a model be built in many ways (functional, nested, subclassed), and each hides its inside differently.
Tracing one call and reading the graph works for all of them: every layer's output is recorded while the model
runs, and the logit is the tensor that goes into the last softmax, whoever made it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from ..models.backend import keras, one_at_a_time, tf

_PASSES_ON = ("Identity", "Cast", "Reshape", "Squeeze")
_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid")
_LEARNED = ("MatMul", "BatchMatMulV2", "Einsum", "Conv2D", "BiasAdd")
_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The end of a classifier.

    Attributes:
        logits: pre-softmax (or pre-sigmoid) values, ``(N, classes)``.
        probabilities: ``(N, classes)``. A head of one sigmoid unit counts as two classes, negative and positive.
        note: what the user should know of it; usually nothing.
    """

    logits: Any
    probabilities: Any
    note: str = ""


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


def find_head(output: Any) -> Head:
    """Finds the logits behind a classifier's output, ``(N, classes)``.

    A fused ``Dense(activation="softmax")`` and a separate layer look the same on the graph. An output without
    softmax or sigmoid is taken as logits. Where probabilities are computed with after the softmax (clipped, averaged
    over several views) there is no logit; the logarithm of the probability stands for it.

    Raises:
        ModelError: the output is not one row of numbers a picture.
    """
    if not tf.is_tensor(output) or output.shape.rank != 2:
        came = output.shape if tf.is_tensor(output) else type(output).__name__
        raise ModelError(f"the model's output is {came}", wanted="one tensor (N, classes), a classifier")
    tensor = output
    while tensor.op.type in _PASSES_ON and tensor.op.inputs:
        tensor = tensor.op.inputs[0]
    if tensor.op.type not in _PROBABILITIES and _behind_softmax(tensor):
        logits = tf.math.log(tf.maximum(tf.cast(output, tf.float32), _LEAST_PROBABILITY))
        note = "the model computes with its softmax: the logarithm of the probability is explained, for want of a logit"
        return Head(logits, tf.cast(output, tf.float32), note)
    if tensor.op.type not in _PROBABILITIES:
        logits = tf.cast(output, tf.float32)
        activation = "Softmax" if output.shape[-1] != 1 else "Sigmoid"
    else:
        logits = tf.cast(tf.reshape(tensor.op.inputs[0], tf.shape(output)), tf.float32)
        logits.set_shape(output.shape)
        activation = tensor.op.type
    if output.shape[-1] == 1:
        logits = tf.concat([-logits, logits], axis=1)
    return Head(logits, tf.nn.sigmoid(logits) if activation == "Sigmoid" else tf.nn.softmax(logits))


def _behind_softmax(output: Any) -> bool:
    """True where a softmax lies between an output and the last thing that was learned."""
    seen: set[str] = set()
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        if tensor.op.type == "Softmax":
            return True
        if tensor.name not in seen and tensor.op.type not in _LEARNED:
            seen.add(tensor.name)
            waiting.extend(tensor.op.inputs)
    return False


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
