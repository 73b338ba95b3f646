"""What a model is made of, found on the graph that it really runs.

Keras lets a model be built in many ways (functional, nested, subclassed), and each hides its inside differently.
Tracing one call and reading the graph works for all of them: every layer's output is recorded while the model
runs, and the logit is the tensor that goes into the last softmax, whoever made it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import LayerError, ModelError, nearest
from ..geometry import Size
from ..models.backend import keras, tf

_PASSES_ON = ("Identity", "Cast", "Reshape", "Squeeze")
_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid")
_LEARNED = ("MatMul", "BatchMatMulV2", "Einsum", "Conv2D", "BiasAdd")
_LEAST_PROBABILITY = 1e-7
_POOLING = ("MaxPool", "AvgPool")


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


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A row of `streamcam layers`.

    Attributes:
        path: the layer's name, ``outer/inner`` inside a nested model; accepted by ``--layer``.
        kind: class of the layer.
        shape: of its output without the batch axis; None where it is not fixed.
        usable: True where it can be explained: a grid of more than one cell that the logit depends on.
        chosen: True for the one that ``--layer auto`` takes.
        reason: why it is or is not usable, in a few words.
    """

    path: str
    kind: str
    shape: tuple[int | None, ...]
    usable: bool
    chosen: bool
    reason: str

    def stride(self, size: Size) -> tuple[int, int] | None:
        """Input pixels a cell, ``(down, across)``, for an input of ``(width, height)``; None where there is no grid."""
        height, width = self.shape[:2] if len(self.shape) == 3 else (None, None)
        return (round(size[1] / height), round(size[0] / width)) if height and width else None


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What one traced call of a model showed.

    Attributes:
        head: its logits and probabilities.
        rows: a row for every layer that returned a tensor, in the order of the calls.
        grids: the output of every usable layer, by path.
    """

    head: Head
    rows: tuple[LayerInfo, ...]
    grids: dict[str, Any]


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


@contextlib.contextmanager
def recorded(layers: dict[str, Any]) -> Iterator[list[tuple[str, Any]]]:
    """Records what layers return while a model runs; the layers are as before afterwards.

    Yields:
        ``(path, output)`` in the order in which the calls return (a shared layer has several).
    """
    outputs: list[tuple[str, Any]] = []

    def wrap(path: str, call: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            outputs.append((path, output))
            return output

        return wrapped

    own = {path: layer.__dict__["call"] for path, layer in layers.items() if "call" in layer.__dict__}
    # Past Keras's own __setattr__, which would track the function as state of the layer.
    for path, layer in layers.items():
        layer.__dict__["call"] = wrap(path, layer.call)
    try:
        yield outputs
    finally:
        for path, layer in layers.items():
            del layer.__dict__["call"]
            if path in own:
                layer.__dict__["call"] = own[path]


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


def survey(model: Any, inputs: Any) -> Survey:
    """Runs a model once on symbolic inputs and tells what every layer is good for.

    Args:
        model: a Keras model.
        inputs: symbolic model input, ``(N, H, W, 3)``; call this while a graph is being built.

    Raises:
        ModelError: the model's output is not a classifier's.
    """
    paths = layer_paths(model)
    with recorded(paths) as calls:
        output = model(inputs, training=False)
    head = find_head(output)
    needed = depends_on(head.logits)
    outputs = {path: tensor for path, tensor in calls if tf.is_tensor(tensor)}
    reasons = {path: _why_not(tensor, inputs, needed) for path, tensor in outputs.items()}
    grids = [(path, outputs[path]) for path, _ in calls if reasons.get(path) == ""]
    chosen = _before_pooling([(path, grid) for path, grid in grids if _is_picture(grid, inputs)])
    rows = tuple(
        LayerInfo(
            path=path,
            kind=type(paths[path]).__name__,
            shape=tuple(tensor.shape[1:]),
            usable=not reasons[path],
            chosen=path == chosen,
            reason="auto: the last grid of a layer before pooling" if path == chosen else reasons[path],
        )
        for path, tensor in outputs.items()
    )
    return Survey(head, rows, {path: outputs[path] for path in outputs if not reasons[path]})


def _why_not(tensor: Any, inputs: Any, needed: set[str]) -> str:
    if tensor.graph is not inputs.graph:
        return "runs inside a function of its own"
    if tensor.shape.rank != 4:
        return "no grid"
    if tensor.name not in needed:
        return "the logits do not depend on it"
    if None in tensor.shape[1:]:
        return "no fixed size"
    if tensor.shape[1] == 1 and tensor.shape[2] == 1:
        return "a single cell"
    return ""


def _is_picture(grid: Any, inputs: Any) -> bool:
    """False for four axes that are no rows and columns of the picture, such as tokens and heads of attention."""
    down, across = inputs.shape[1] / grid.shape[1], inputs.shape[2] / grid.shape[2]
    return bool(max(down, across) <= 1.5 * min(down, across))


def _before_pooling(candidates: list[tuple[str, Any]]) -> str:
    """The last candidate that is no pooling; of layers that return one and the same tensor, the first."""
    grids = [(path, tensor) for path, tensor in candidates if tensor.op.type not in _POOLING]
    if not grids:
        return ""
    last = grids[-1][1].name
    return next(path for path, tensor in grids if tensor.name == last)


def choose_layer(name: str, rows: tuple[LayerInfo, ...]) -> str:
    """The path of the target layer: the one that was named, or the one for ``auto``.

    Raises:
        LayerError: no such layer, or it cannot be explained; says why.
    """
    by_path = {row.path: row for row in rows}
    if name == "auto":
        for row in rows:
            if row.chosen:
                return row.path
        raise LayerError(
            "the model has no layer whose output is a grid (N, h, w, channels) that its logits depend on",
            wanted="a convolutional classifier",
        )
    if name not in by_path:
        raise LayerError(
            f"the model has no layer {name!r}", do=nearest(name, by_path) or "streamcam layers MODEL lists them"
        )
    if not by_path[name].usable:
        raise LayerError(
            f"layer {name!r} cannot be explained: {by_path[name].reason}",
            wanted="a grid (N, h, w, channels) before the pooling that the logit depends on",
            do="streamcam layers MODEL lists them",
        )
    return name
