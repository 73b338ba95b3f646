"""What a method is handed and what it hands back. Everything here is symbolic: a method runs while a graph is built."""

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
    """One pass of the model over a batch of pictures, for one target, as a method sees it.

    Attributes:
        input: what the model takes, float32 ``(N, H, W, 3)``: preprocessed pictures.
        score: what is explained, float32 ``(N,)``: the pre-softmax logit of each frame's target class, or what the
            user asked for instead.
        layer: gives `activations`. Methods that never ask for them need no target layer.
        gradient: builds ``∂ score / ∂ activations``, shape and dtype of `activations`. Each frame's gradient is that
            of its own score.
        input_gradient: builds ``∂ score / ∂ input``, float32 ``(N, H, W, 3)``.
        guided_gradient: the same with every ReLU on the way guided, as `guided_backprop` tells.
        blank: builds what the model takes for a picture of one grey, 0 (black) to 255, float32 ``(1, H, W, 3)``.
        score_of: builds the score of each frame's target for one other input, ``(1, H, W, 3) → (N,)``.
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
    """Maps with figures that tell how far they can be trusted.

    Attributes:
        maps: float32 ``(N, h, w)``.
        quality_metrics: float32 ``(N,)`` each, by name; the user is told the largest.
    """

    maps: Tensor
    quality_metrics: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class MultiPass:
    """A method of many passes: what each pass looks at, what is kept of it, and what becomes of that.

    The engine runs the passes of all frames and targets in batches of one size. With ``m`` passes in a batch:

    Attributes:
        count: passes a frame.
        shared_state: tensors ``(N, …)`` made in the first pass that all targets share; ``perturb`` gets their rows.
        perturb: ``(state, step) → inputs``: rows of the state ``(m, …)`` and the number of the pass, int32 ``(m,)``,
            0 to ``count − 1``, to the model's input float32 ``(m, H, W, 3)``.
        measure: what is kept of a pass, float32 ``(m, …)``.
        reduce: ``stack`` keeps the values of all passes, ``(N, count, …)``; ``mean`` only their mean, ``(N, …)``.
        per_target_state: tensors ``(N, …)`` of the first pass that belong to this target.
        maps: ``(state, own, values) → maps``, float32 ``(N, h, w)``.
    """

    count: int
    perturb: Callable[[tuple[Tensor, ...], Tensor], Tensor]
    measure: Callable[[MethodContext], Tensor]
    maps: Callable[[tuple[Tensor, ...], tuple[Tensor, ...], Tensor], Tensor | Maps]
    reduce: Literal["stack", "mean"]
    shared_state: tuple[Tensor, ...] = ()
    per_target_state: tuple[Tensor, ...] = ()


def check_range(method: str, name: str, value: float, low: float, high: float = math.inf) -> None:
    """Checks a parameter of a method.

    Raises:
        MethodError: it is not a number from ``low`` to ``high``.
    """
    if not low <= value <= high or math.isinf(value):
        expected = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        raise MethodError(
            f"{method} with {name}={value:g} is not possible", expected="a number" if math.isinf(low) else expected
        )


Method: TypeAlias = Callable[[MethodContext], "Tensor | Maps | MultiPass"]
"""A method with its parameters bound."""
