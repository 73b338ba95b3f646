"""Find the logits and probabilities at the end of a classifier."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelError
from ...models.signature import preserve_variables
from ...tf import model_lock, tf
from .functions import CALLS, inline_call
from .intervals import SUPPORTED, WEIGHTED, bounds_of

_PASS_THROUGH = ("Identity", "IdentityN", "Cast", "Reshape", "Squeeze")
_PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid")
_MIN_PROBABILITY = 1e-7
_SUM_TOLERANCE = 1e-2
"""Tolerance of a sum of probabilities around 1: three times the step of bfloat16."""

_OutputKind: TypeAlias = Literal["logits", "shared", "single"]
"""Logits; probabilities of all classes that sum to 1 (softmax); an independent probability a class (sigmoid)."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The end of a classifier.

    Attributes:
        logits: pre-softmax (or pre-sigmoid) values, float32 ``(N, classes)``.
        probabilities: float32 ``(N, classes)``. A single sigmoid unit has two classes, negative and positive.
        note: a note for the user; usually empty.
    """

    logits: Any
    probabilities: Any
    note: str = ""


def find_logits(output: Any, probe: Callable[[], NDArray[Any] | None] = lambda: None) -> Head:
    """Find the logits behind a classifier's output, ``(N, classes)``.

    A fused ``Dense(activation="softmax")`` and a separate softmax layer are the same in the graph. If the model
    processes its probabilities further (clips them, averages several views), there is no logit: the log-probability
    replaces it, or the log-odds if the classes do not share one softmax. Any other output counts as logits, including
    an output gated with a softmax.

    Args:
        output: output of a traced model.
        probe: returns the model's output for a few images, or None if the model cannot run. Called only if the graph
            does not show whether the output is probabilities.

    Raises:
        ModelError: the output is not one row of numbers per image.
    """
    if not tf.is_tensor(output) or output.shape.rank != 2:
        received = output.shape if tf.is_tensor(output) else type(output).__name__
        raise ModelError(f"the model's output is {received}", expected="one tensor (N, classes), as of a classifier")
    tensor = _find_producer(output)
    if tensor.op.type in _PROBABILITIES:
        return _activation_head(output, tensor)
    match _classify_output(tensor, output.shape[-1], probe):
        case "shared":
            return _log_probability_head(output)
        case "single":
            return _log_odds_head(output)
    logits = tf.cast(output, tf.float32)
    if output.shape[-1] == 1:
        logits = tf.concat([-logits, logits], axis=1)
        return Head(logits, tf.nn.sigmoid(logits))
    return Head(logits, tf.nn.softmax(logits))


def _find_producer(output: Any) -> Any:
    """Return the tensor that computes an output, also inside a called function."""
    tensor = output
    while True:
        if tensor.op.type in _PASS_THROUGH and tensor.op.inputs:
            tensor = tensor.op.inputs[tensor.value_index]
        elif tensor.op.type in CALLS and (inside := inline_call(tensor)) is not None:
            tensor = inside
        else:
            return tensor


def _activation_head(output: Any, activation: Any) -> Head:
    """Build the head of a model with a final softmax or sigmoid."""
    logits = tf.cast(tf.reshape(activation.op.inputs[0], tf.shape(output)), tf.float32)
    logits.set_shape(output.shape)
    kind, classes = activation.op.type, output.shape[-1]
    if kind != "Sigmoid" and activation.shape[-1] != classes:
        probabilities = tf.cast(output, tf.float32)
        return Head(logits, tf.exp(probabilities) if kind == "LogSoftmax" else probabilities)
    if classes == 1:
        logits = tf.concat([-logits, logits], axis=1)
    return Head(logits, tf.nn.sigmoid(logits) if kind == "Sigmoid" else tf.nn.softmax(logits))


def _log_probability_head(output: Any) -> Head:
    probabilities = tf.cast(output, tf.float32)
    note = "the model processes its softmax output further and has no logit: the log-probability is explained"
    return Head(tf.math.log(tf.maximum(probabilities, _MIN_PROBABILITY)), probabilities, note)


def _log_odds_head(output: Any) -> Head:
    probabilities = tf.cast(output, tf.float32)
    logits = tf.math.log(tf.maximum(probabilities, _MIN_PROBABILITY)) - tf.math.log(
        tf.maximum(1 - probabilities, _MIN_PROBABILITY)
    )
    if output.shape[-1] == 1:
        logits, probabilities = (
            tf.concat([-logits, logits], axis=1),
            tf.concat([1 - probabilities, probabilities], axis=1),
        )
    note = "the model processes its probabilities further and has no logit: their log-odds are explained"
    return Head(logits, probabilities, note)


def _classify_output(tensor: Any, classes: int | None, probe: Callable[[], NDArray[Any] | None]) -> _OutputKind:
    """Classify an output without a final softmax or sigmoid: by proof from the graph, else by a probe."""
    low, high = bounds_of(tensor)
    computed_tensors = _tensors_behind_weights(tensor)
    kinds = {one.op.type for one in computed_tensors}
    unknown = not kinds <= SUPPORTED
    is_shared = (
        any(one.op.type == "Softmax" and one.shape[-1] == classes for one in computed_tensors)
        and "Sigmoid" not in kinds
    )
    proven: _OutputKind = "shared" if is_shared and classes != 1 else "single"
    if low >= 0 and high <= 1 + _SUM_TOLERANCE:
        return proven
    computed = bool(kinds & {"Softmax", "Sigmoid"})
    if low < 0 and not unknown and not computed:
        return "logits"
    values = probe()
    if values is None:
        return proven if computed and low >= 0 else "logits"
    values = values.astype(np.float64)
    values = values[np.isfinite(values).all(1)]
    if not len(values) or values.min() < -_SUM_TOLERANCE or values.max() > 1 + _SUM_TOLERANCE:
        return "logits"
    # Logits may lie between 0 and 1 by chance, but do not sum to 1 for every image.
    if classes != 1 and (np.abs(values.sum(1) - 1) < _SUM_TOLERANCE).all():
        return "shared"
    return proven if unknown or (computed and low >= 0 and high < math.inf) else "logits"


def _tensors_behind_weights(output: Any) -> list[Any]:
    """Return all tensors between an output and the last weights before it.

    A product of non-negative operands has no weights: trained weights have both signs.
    """
    found: dict[str, Any] = {}
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in found:
            found[tensor.name] = tensor
            if tensor.op.type not in WEIGHTED or bounds_of(tensor)[0] >= 0:
                waiting.extend(one for one in tensor.op.inputs if one.dtype.is_floating)
    return list(found.values())


def probe_output(model: Any, call: Callable[[Any], Any], images: Any) -> NDArray[Any] | None:
    """Run a model eagerly on noise, outside the graph under construction.

    Args:
        model: the Keras model; its variables keep their values.
        call: runs the model.
        images: symbolic model input; only its shape counts.

    Returns:
        The outputs ``(N, classes)``; None if the model cannot run eagerly.
    """
    rows, *shape = images.shape
    rng = np.random.default_rng(0)
    # Logits grow with the input; probabilities stay probabilities.
    noise = np.stack([scale * rng.random(shape) for scale in (1, -1, 255, 10_000)]).astype(np.float32)
    rows = rows or len(noise)
    padded = np.resize(noise, (-(-len(noise) // rows) * rows, *shape))
    try:
        with tf.init_scope(), model_lock, preserve_variables(model):
            outputs = [np.asarray(call(tf.constant(part))) for part in np.split(padded, len(padded) // rows)]
    except Exception:  # user code, and only a probe
        return None
    return np.concatenate(outputs)
