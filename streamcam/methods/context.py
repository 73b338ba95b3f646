"""Input and results of a method. All tensors are symbolic: a method runs while a graph is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..errors import MethodError

Tensor: TypeAlias = Any
"""A symbolic `tf.Tensor`. TensorFlow has no types and is not imported here."""


@dataclass(frozen=True, slots=True, eq=False)
class MethodContext:
    """One forward pass over a batch of images, for one target.

    Attributes:
        input: model input, float32 ``(N, H, W, 3)``: preprocessed images.
        score: the explained number, float32 ``(N,)``: the pre-softmax logit of each image's target class, or the
            contrast or function that the user chose.
        layer: returns `activations`. A method that does not use them needs no target layer.
        gradient: builds ``∂ score / ∂ activations``, shape and dtype of `activations`. Each image's gradient is that
            of its own score.
        input_gradient: builds ``∂ score / ∂ input``, float32 ``(N, H, W, 3)``.
        guided_gradient: the same with every ReLU guided, see `guided_backprop`.
        blank: builds the model input of a uniform grey image, 0 (black) to 255, float32 ``(1, H, W, 3)``.
        score_of: builds the score of each image's target for one other input, ``(1, H, W, 3) → (N,)``.
    """

    input: Tensor
    score: Tensor
    layer: Callable[[], Tensor]
    gradient: Callable[[], Tensor]
    input_gradient: Callable[[], Tensor]
    guided_gradient: Callable[[], Tensor]
    blank: Callable[[float], Tensor]
    score_of: Callable[[Tensor], Tensor]

    @property
    def activations(self) -> Tensor:
        """Output of the target layer, float32 ``(N, h, w, K)``."""
        return self.layer()


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """Maps with metrics of their quality.

    Attributes:
        maps: float32 ``(N, h, w)``.
        quality_metrics: float32 ``(N,)`` each, by name; the summary has the largest value.
    """

    maps: Tensor
    quality_metrics: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class MultiPass:
    """A method of several forward passes: perturb the input, measure each pass, reduce the measurements to maps.

    The engine runs the passes of all images and targets in batches of one size. With ``m`` passes in a batch:

    Attributes:
        count: passes per image.
        shared_state: tensors ``(N, …)`` of the first pass, the same for all targets; ``perturb`` gets their rows.
        perturb: ``(state, step) → inputs``: from rows of the shared state ``(m, …)`` and the pass numbers, int32
            ``(m,)``, 0 to ``count − 1``, to the model input float32 ``(m, H, W, 3)``.
        measure: value of a pass, float32 ``(m, …)``.
        reduce: ``stack`` keeps the values of all passes, ``(N, count, …)``; ``mean`` only their mean, ``(N, …)``.
        per_target_state: tensors ``(N, …)`` of the first pass that depend on the target.
        maps: ``(shared_state, per_target_state, values) → maps``, float32 ``(N, h, w)``.
    """

    count: int
    perturb: Callable[[tuple[Tensor, ...], Tensor], Tensor]
    measure: Callable[[MethodContext], Tensor]
    maps: Callable[[tuple[Tensor, ...], tuple[Tensor, ...], Tensor], Tensor | Maps]
    reduce: Literal["stack", "mean"]
    shared_state: tuple[Tensor, ...] = ()
    per_target_state: tuple[Tensor, ...] = ()


def check_range(method: str, name: str, value: float, low: float, high: float = math.inf) -> None:
    """Check that a parameter of a method is in its range.

    Args:
        method: name of the method, for the message.
        name: name of the parameter.
        value: value of the parameter.
        low: smallest valid value.
        high: largest valid value.

    Raises:
        MethodError: the value is not a number from ``low`` to ``high``.
    """
    if not low <= value <= high or math.isinf(value):
        expected = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        raise MethodError(f"invalid {method} {name}={value:g}", expected="a number" if math.isinf(low) else expected)


Method: TypeAlias = Callable[[MethodContext], "Tensor | Maps | MultiPass"]
"""A method with bound parameters."""
