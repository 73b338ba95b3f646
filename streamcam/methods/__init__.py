"""Explanation methods: one pure function a file, each with its paper and formula on top.

A method takes a `Traced` model and returns raw maps, ``float32 (N, h, w)``: not resized, not normalised.
It runs while a graph is built, never eagerly, so it costs only the operations it adds.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import MethodError, nearest

Tensor: TypeAlias = Any
"""A symbolic `tf.Tensor`. TensorFlow has no types and is not imported here."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """One pass of the model as a method sees it, all in one graph.

    Attributes:
        activations: output of the target layer, ``(N, h, w, K)``, float32.
        score: pre-softmax logit of each frame's target class, ``(N,)``, float32.
        gradient: builds ``∂ score / ∂ activations``, shape and dtype of ``activations``. Each frame's gradient is
            that of its own score.
    """

    activations: Tensor
    score: Tensor
    gradient: Callable[[], Tensor]


Method: TypeAlias = Callable[[Traced], Tensor]


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A registry entry: where the function is, and what `streamcam methods` tells about it."""

    function: str
    shows: str
    cost: str
    paper: str


METHODS: dict[str, MethodInfo] = {
    "gradcam": MethodInfo(
        "streamcam.methods.gradcam:gradcam",
        "where the target layer supports the class",
        "1 forward pass",
        "Selvaraju et al. 2017, arXiv:1610.02391",
    ),
}


def load_method(name: str) -> Method:
    """The function behind a name in `METHODS`.

    Raises:
        MethodError: there is no such method.
    """
    info = METHODS.get(name)
    if info is None:
        raise MethodError(
            f"--method {name!r} is not known", wanted=f"one of {', '.join(METHODS)}", do=nearest(name, METHODS)
        )
    module, _, function = info.function.partition(":")
    method: Method = getattr(importlib.import_module(module), function)
    return method
