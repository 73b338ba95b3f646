"""The end of a classifier: its logits and probabilities, whoever made them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..models.backend import tf
from .bounds import KNOWN, LEARNED, bounds_of

_PASSES_ON = ("Identity", "IdentityN", "Cast", "Reshape", "Squeeze")
_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid")
_LEAST_PROBABILITY = 1e-7
_ROUNDING = 1e-2
"""By how much a sum of probabilities may miss 1: bfloat16's steps are a third of it."""


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
    tensor = output
    while tensor.op.type in _PASSES_ON and tensor.op.inputs:
        tensor = tensor.op.inputs[tensor.value_index]
    if tensor.op.type in _PROBABILITIES:
        return _behind(output, tensor)
    met = _met(tensor)
    if _are_probabilities(tensor, met, trial):
        return _without_logits(output, met)
    logits = tf.cast(output, tf.float32)
    if output.shape[-1] == 1:
        logits = tf.concat([-logits, logits], axis=1)
        return Head(logits, tf.nn.sigmoid(logits))
    return Head(logits, tf.nn.softmax(logits))


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


def _without_logits(output: Any, met: list[Any]) -> Head:
    """The head of a model that computes on with its probabilities."""
    told = tf.cast(output, tf.float32)
    classes = output.shape[-1]
    of_a_class = tf.math.log(tf.maximum(told, _LEAST_PROBABILITY))
    if classes != 1 and any(_shares(one, classes) for one in met) and all(one.op.type != "Sigmoid" for one in met):
        note = "the model computes with its softmax: the logarithm of the probability is explained, for want of a logit"
        return Head(of_a_class, told, note)
    logits = of_a_class - tf.math.log(tf.maximum(1 - told, _LEAST_PROBABILITY))
    if classes == 1:
        logits, told = tf.concat([-logits, logits], axis=1), tf.concat([1 - told, told], axis=1)
    note = "the model computes with its probabilities: their log-odds are explained, for want of a logit"
    return Head(logits, told, note)


def _are_probabilities(tensor: Any, met: list[Any], trial: Callable[[], NDArray[Any] | None]) -> bool:
    """True where an output cannot be anything but probabilities, or, where that is open, proved to be on trial."""
    low, high = bounds_of(tensor)
    if low >= 0 and high <= 1 + _ROUNDING:
        return True
    unknown = any(one.op.type not in KNOWN for one in met)
    if low < 0 and not unknown and all(one.op.type not in ("Softmax", "Sigmoid") for one in met):
        return False
    values = trial()
    if values is None:
        return low >= 0
    values = values.astype(np.float64)
    values = values[np.isfinite(values).all(1)]
    if not len(values) or values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        return False
    # Logits may happen to lie between 0 and 1, but do not happen to sum to 1 for every picture.
    bounded = low >= 0 and high < math.inf
    return bounded or unknown or (values.shape[1] > 1 and bool((np.abs(values.sum(1) - 1) < _ROUNDING).all()))


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


def _shares(tensor: Any, classes: int | None) -> bool:
    return bool(tensor.op.type == "Softmax" and tensor.shape[-1] == classes)


def tried(call: Callable[[Any], Any], pictures: Any) -> NDArray[Any] | None:
    """What a model returns for noise of any brightness, outside the graph that is being built.

    Args:
        call: runs the model.
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
        with tf.init_scope():
            outputs = [np.asarray(call(tf.constant(part))) for part in np.split(padded, len(padded) // rows)]
    except Exception:  # it is the user's code, and a trial only
        return None
    return np.concatenate(outputs)
