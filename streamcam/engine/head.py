"""The end of a classifier: its logits and probabilities, whoever made them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..models.backend import one_at_a_time, tf
from ..models.shapes import unchanged
from .bounds import KNOWN, LEARNED, bounds_of
from .calls import CALLS, opened

_PASSES_ON = ("Identity", "IdentityN", "Cast", "Reshape", "Squeeze")
_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid")
_LEAST_PROBABILITY = 1e-7
_ROUNDING = 1e-2
"""By how much a sum of probabilities may miss 1: bfloat16's steps are a third of it."""

_Kind: TypeAlias = Literal["logits", "shared", "single"]
"""Logits; probabilities that share one sum of 1; probabilities of each class alone."""


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


def find_head(output: Any, trial: Callable[[], NDArray[Any] | None] = lambda: None) -> Head:
    """Finds the logits behind a classifier's output, ``(N, classes)``.

    A fused ``Dense(activation="softmax")`` and a separate layer look the same on the graph. Where probabilities are
    computed with after the softmax or sigmoid (clipped, averaged over several views) there is no logit; the logarithm
    of the probability stands for it, or its log-odds where the classes do not share one softmax. Everything else is
    logits: also what a softmax was a gate of.

    Args:
        output: of a traced model.
        trial: the model's output for a few pictures, None where it cannot be had; asked for only where the graph leaves
            open whether the output is probabilities.

    Raises:
        ModelError: the output is not one row of numbers a picture.
    """
    if not tf.is_tensor(output) or output.shape.rank != 2:
        came = output.shape if tf.is_tensor(output) else type(output).__name__
        raise ModelError(f"the model's output is {came}", wanted="one tensor (N, classes), a classifier")
    tensor = _end(output)
    if tensor.op.type in _PROBABILITIES:
        return _behind(output, tensor)
    match _kind(tensor, output.shape[-1], trial):
        case "shared":
            return _of_shared(output)
        case "single":
            return _of_single(output)
    logits = tf.cast(output, tf.float32)
    if output.shape[-1] == 1:
        logits = tf.concat([-logits, logits], axis=1)
        return Head(logits, tf.nn.sigmoid(logits))
    return Head(logits, tf.nn.softmax(logits))


def _end(output: Any) -> Any:
    """What makes the numbers of an output, also inside a function (a `tf.function`, a ``TFSMLayer``)."""
    tensor = output
    while True:
        if tensor.op.type in _PASSES_ON and tensor.op.inputs:
            tensor = tensor.op.inputs[tensor.value_index]
        elif tensor.op.type in CALLS and (inside := opened(tensor)) is not None:
            tensor = inside
        else:
            return tensor


def _behind(output: Any, activated: Any) -> Head:
    """The head that ends in a softmax or a sigmoid."""
    logits = tf.cast(tf.reshape(activated.op.inputs[0], tf.shape(output)), tf.float32)
    logits.set_shape(output.shape)
    kind, classes = activated.op.type, output.shape[-1]
    if kind != "Sigmoid" and activated.shape[-1] != classes:
        told = tf.cast(output, tf.float32)
        return Head(logits, tf.exp(told) if kind == "LogSoftmax" else told)
    if classes == 1:
        logits = tf.concat([-logits, logits], axis=1)
    return Head(logits, tf.nn.sigmoid(logits) if kind == "Sigmoid" else tf.nn.softmax(logits))


def _of_shared(output: Any) -> Head:
    told = tf.cast(output, tf.float32)
    note = "the model computes with its softmax: the logarithm of the probability is explained, for want of a logit"
    return Head(tf.math.log(tf.maximum(told, _LEAST_PROBABILITY)), told, note)


def _of_single(output: Any) -> Head:
    told = tf.cast(output, tf.float32)
    logits = tf.math.log(tf.maximum(told, _LEAST_PROBABILITY)) - tf.math.log(tf.maximum(1 - told, _LEAST_PROBABILITY))
    if output.shape[-1] == 1:
        logits, told = tf.concat([-logits, logits], axis=1), tf.concat([1 - told, told], axis=1)
    note = "the model computes with its probabilities: their log-odds are explained, for want of a logit"
    return Head(logits, told, note)


def _kind(tensor: Any, classes: int | None, trial: Callable[[], NDArray[Any] | None]) -> _Kind:
    """What an output is that no softmax or sigmoid has made: as far as can be proved, else as it shows on trial."""
    low, high = bounds_of(tensor)
    met = _met(tensor)
    kinds = {one.op.type for one in met}
    unknown = not kinds <= KNOWN
    share = any(one.op.type == "Softmax" and one.shape[-1] == classes for one in met) and "Sigmoid" not in kinds
    certain: _Kind = "shared" if share and classes != 1 else "single"
    if low >= 0 and high <= 1 + _ROUNDING:
        return certain
    computed = bool(kinds & {"Softmax", "Sigmoid"})
    if low < 0 and not unknown and not computed:
        return "logits"
    values = trial()
    if values is None:
        return certain if computed and low >= 0 else "logits"
    values = values.astype(np.float64)
    values = values[np.isfinite(values).all(1)]
    if not len(values) or values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        return "logits"
    # Logits may happen to lie between 0 and 1, but do not happen to sum to 1 for every picture.
    if classes != 1 and (np.abs(values.sum(1) - 1) < _ROUNDING).all():
        return "shared"
    return certain if unknown or (computed and low >= 0 and high < math.inf) else "logits"


def _met(output: Any) -> list[Any]:
    """All tensors between an output and the last things that were learned.

    A product of what cannot be below zero has no weights in it.
    """
    met: dict[str, Any] = {}
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in met:
            met[tensor.name] = tensor
            if tensor.op.type not in LEARNED or bounds_of(tensor)[0] >= 0:
                waiting.extend(one for one in tensor.op.inputs if one.dtype.is_floating)
    return list(met.values())


def tried(model: Any, call: Callable[[Any], Any], pictures: Any) -> NDArray[Any] | None:
    """What a model returns for noise of any brightness, outside the graph that is being built.

    Args:
        model: stays as it was.
        call: runs it.
        pictures: symbolic, of the shape of what it is to be run on.

    Returns:
        ``(N, classes)``; None where it cannot be run there.
    """
    rows, *shape = pictures.shape
    rng = np.random.default_rng(0)
    # Logits become large somewhere; probabilities are probabilities of whatever numbers.
    noise = np.stack([bright * rng.random(shape) for bright in (1, -1, 255, 10_000)]).astype(np.float32)
    rows = rows or len(noise)
    padded = np.resize(noise, (-(-len(noise) // rows) * rows, *shape))
    try:
        with tf.init_scope(), one_at_a_time, unchanged(model):
            outputs = [np.asarray(call(tf.constant(part))) for part in np.split(padded, len(padded) // rows)]
    except Exception:  # it is the user's code, and a trial only
        return None
    return np.concatenate(outputs)
