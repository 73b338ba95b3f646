"""Preprocessing: from RGB 0–255 to the model input, by name, function or guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import OptionError, did_you_mean
from ..imports import import_function, is_function_path
from .zoo import applications
from .zoo.applications import Application

Preprocess: TypeAlias = Callable[[Any], Any]
"""Float32 tensor ``(N, H, W, 3)`` RGB 0–255 → model input; traceable inside a `tf.function`."""

_FIXED: dict[str, Preprocess] = {
    "none": lambda images: images,
    "0..1": lambda images: images / 255.0,
    "-1..1": lambda images: images / 127.5 - 1.0,
}
_ARITHMETIC = ("Add", "Subtract", "Multiply", "TrueDivide", "Divide")


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """A preprocessing function.

    Attributes:
        function: the function.
        name: as in ``--preprocess``.
        note: a note for the user if it was guessed; empty otherwise.
    """

    function: Preprocess
    name: str
    note: str = ""


def resolve_preprocessing(option: Any) -> Preprocessing:
    """Return the preprocessing of a value of ``--preprocess`` other than ``auto``.

    Args:
        option: a name, ``package.module:function``, a function as `Preprocess`, or None for ``none``.

    Raises:
        OptionError: unknown value.
        ModelError: ``package.module:function`` cannot be imported.
    """
    if option is None:
        option = "none"
    if callable(option):
        return Preprocessing(option, getattr(option, "__name__", type(option).__name__))
    if not isinstance(option, str):
        raise OptionError(f"invalid preprocess of type {type(option).__name__}", expected="a name, a function or None")
    if option in _FIXED:
        return Preprocessing(_FIXED[option], option)
    if option in applications.FAMILIES:
        return Preprocessing(applications.preprocessing(option), option)
    if is_function_path(option):
        return Preprocessing(import_function(option), option)
    known = ("auto", *_FIXED, *applications.FAMILIES)
    raise OptionError(
        f"unknown --preprocess {option!r}",
        expected=f"one of {', '.join(known)}, or package.module:function",
        hint=did_you_mean(option, known),
    )


def guess_preprocessing(model: Any, name: str, application: Application | None, dtype: str) -> Preprocessing:
    """Guess the preprocessing of a user's model, with a note.

    Args:
        model: a Keras model.
        name: name that the user gave.
        application: the Keras application of the same name; None if there is none.
        dtype: dtype of the image input.
    """
    layer = find_scaling_layer(model)
    if application is not None:
        return Preprocessing(
            applications.preprocessing(application.family),
            application.family,
            f"preprocess {application.family}: {describe_model_name(name, model)}; override with --preprocess",
        )
    if dtype == "uint8":
        return Preprocessing(_FIXED["none"], "none", f"preprocess none: {name} takes uint8")
    if layer:
        return Preprocessing(_FIXED["none"], "none", f"preprocess none: {name} scales its input (layer {layer})")
    return Preprocessing(
        _FIXED["none"], "none", f"preprocess unknown for {name}: RGB 0-255 unchanged; set it with --preprocess"
    )


def describe_model_name(name: str, model: Any) -> str:
    """Describe the name of a model for notes: ``m.keras is named resnet50``.

    Args:
        name: name that the user gave.
        model: a Keras model.
    """
    return f"{name} is named {model.name}" if name != model.name else f"the model is named {name}"


def find_scaling_layer(model: Any) -> str:
    """Return the layer or operation that scales the input; or ``""``.

    Only the operations before the first weights count.
    """
    from ..tf import keras

    layers = keras.layers
    found = ""

    def walk(operations: Any) -> bool:
        """Return True after the first layer with weights."""
        nonlocal found
        for operation in operations:
            inner = getattr(operation, "operations", None) or getattr(operation, "layers", None)
            if inner:
                if walk(inner):
                    return True
            elif isinstance(operation, (layers.Rescaling, layers.Normalization)) or (
                type(operation).__name__ in _ARITHMETIC and not isinstance(operation, layers.Layer)
            ):
                found = found or operation.name
            elif getattr(operation, "weights", None):
                return True
        return False

    walk([model])
    return found
