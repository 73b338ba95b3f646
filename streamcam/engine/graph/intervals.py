"""Interval arithmetic: bounds of a tensor's values, derived from its operations.

Conservative: an unknown operation has no bounds. The bounds distinguish probabilities that were combined, such as the
mean of two sigmoids, from logits that were gated with a softmax.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ...tf import tf

Bounds: TypeAlias = tuple[float, float]

UNBOUNDED: Bounds = (-math.inf, math.inf)

WEIGHTED = frozenset(
    ("MatMul", "BatchMatMulV2", "Einsum", "Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "BiasAdd")
)
"""Operations that have weights as an operand."""

_MAX_DEPTH = 100
"""Maximum number of operations followed backwards from a tensor."""

_RANGES: dict[str, Bounds] = {
    "Softmax": (0, 1),
    "Sigmoid": (0, 1),
    "LogSoftmax": (-math.inf, 0),
    "Tanh": (-1, 1),
    "Softsign": (-1, 1),
    "Erf": (-1, 1),
    "Relu": (0, math.inf),
    "Relu6": (0, 6),
    "Softplus": (0, math.inf),
    "Square": (0, math.inf),
    "SquaredDifference": (0, math.inf),
    "Sqrt": (0, math.inf),
    "Rsqrt": (0, math.inf),
    "Abs": (0, math.inf),
}
_SELECTING = {
    **dict.fromkeys(("Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "EnsureShape", "StopGradient"), (0, 1)),
    **dict.fromkeys(("Transpose", "ReverseV2", "Slice", "StridedSlice", "GatherV2", "Tile", "BroadcastTo"), (0, 1)),
    **dict.fromkeys(("Mean", "Max", "Min", "MaxPool", "AvgPool", "SplitV", "Unpack"), (0, 1)),
    "Split": (1, 2),
    "Pack": (0, None),
    "ConcatV2": (0, -1),
    "SelectV2": (1, None),
    "Select": (1, None),
}
"""Operations whose values lie within the range of some of their inputs, and the slice of those inputs."""

_BINARY = ("Add", "AddV2", "BiasAdd", "Sub", "Mul", "RealDiv", "DivNoNan", "Maximum", "Minimum")
_OTHER_OPERATIONS = ("AddN", "Sum", "Neg", "Exp", "Log", "ClipByValue", "IdentityN")
_SOURCES = ("Const", "ReadVariableOp", "Placeholder")

SUPPORTED = frozenset((*_RANGES, *_SELECTING, *_BINARY, *_OTHER_OPERATIONS, *_SOURCES, *WEIGHTED))
"""Operations with known bounds."""


def bounds_of(tensor: Any) -> Bounds:
    """Return the least and the largest possible value of a tensor; infinite where unknown."""
    found: dict[str, Bounds] = {}

    def visit(tensor: Any, depth: int) -> Bounds:
        if depth == _MAX_DEPTH:
            return UNBOUNDED
        if tensor.name not in found:
            found[tensor.name] = _bounds(tensor, lambda before: visit(before, depth + 1))
        return found[tensor.name]

    return visit(tensor, 0)


def _bounds(tensor: Any, input_bounds: Callable[[Any], Bounds]) -> Bounds:
    operation = tensor.op
    kind, inputs = operation.type, operation.inputs
    if kind in _RANGES:
        return _RANGES[kind]
    if kind == "Const":
        value = tf.get_static_value(tensor)
        return (float(value.min()), float(value.max())) if value.size and tensor.dtype.is_floating else UNBOUNDED
    if kind == "IdentityN":
        return input_bounds(inputs[tensor.value_index])
    if kind == "Cast" and inputs[0].dtype == tf.bool:
        return (0, 1)
    if kind in _SELECTING:
        sides = [input_bounds(one) for one in inputs[slice(*_SELECTING[kind])]]
        return min(low for low, _ in sides), max(high for _, high in sides)
    if kind in WEIGHTED and kind != "BiasAdd":
        # Weights come last and have both signs, so that the other operands need no visit.
        if any(input_bounds(one)[0] < 0 for one in reversed(inputs)):
            return UNBOUNDED
        return 0, functools.reduce(_product, (input_bounds(one)[1] for one in inputs), _product_length(operation))
    match kind:
        case "Sum":
            return _scale(input_bounds(inputs[0]), _sum_length(tensor, inputs[0]))
        case "Neg":
            low, high = input_bounds(inputs[0])
            return -high, -low
        case "Exp":
            low, high = input_bounds(inputs[0])
            return math.exp(min(low, 0)), math.exp(high) if high < 100 else math.inf
        case "Log":
            low, high = input_bounds(inputs[0])
            return (-math.inf, math.log(high)) if low >= 0 and 0 < high < math.inf else UNBOUNDED
        case "ClipByValue":
            (low, high), (least, _), (_, most) = (input_bounds(one) for one in inputs)
            return max(low, least), min(high, most)
        case "AddN":
            sides = [input_bounds(one) for one in inputs]
            return sum(low for low, _ in sides), sum(high for _, high in sides)
    return _binary_bounds(kind, input_bounds(inputs[0]), input_bounds(inputs[1])) if kind in _BINARY else UNBOUNDED


def _binary_bounds(kind: str, one: Bounds, two: Bounds) -> Bounds:
    match kind:
        case "Add" | "AddV2" | "BiasAdd":
            return one[0] + two[0], one[1] + two[1]
        case "Sub":
            return one[0] - two[1], one[1] - two[0]
        case "Maximum":
            return max(one[0], two[0]), max(one[1], two[1])
        case "Minimum":
            return min(one[0], two[0]), min(one[1], two[1])
        case "RealDiv" | "DivNoNan":
            if two[0] < 0:
                return UNBOUNDED
            two = (1 / two[1] if two[1] else math.inf, 1 / two[0] if two[0] else math.inf)
    corners = [_product(a, b) for a in one for b in two]
    return min(corners), max(corners)


def _product(a: float, b: float) -> float:
    return a * b if a and b else 0.0  # 0 · ∞ = 0 here: only bounds are infinite, not values


def _sum_length(tensor: Any, before: Any) -> float:
    """Return the number of terms in each sum; infinite where unknown."""
    axes = tf.get_static_value(tensor.op.inputs[1])
    if axes is None or before.shape.rank is None:
        return math.inf
    counts = [before.shape[int(axis)] for axis in np.reshape(axes, -1)]
    return math.inf if None in counts else float(math.prod(counts))


def _product_length(operation: Any) -> float:
    """Return the number of terms in each element of a matrix product; infinite for other operations."""
    if operation.type not in ("MatMul", "BatchMatMulV2"):
        return math.inf
    is_transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    count = operation.inputs[0].shape[-2 if is_transposed else -1]
    return math.inf if count is None else float(count)


def _scale(bounds: Bounds, factor: float) -> Bounds:
    return _product(bounds[0], factor), _product(bounds[1], factor)
