"""From RGB 0–255 to what a model takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import OptionError, did_you_mean
from ..imports import import_function, is_function_path
from .zoo import applications
from .zoo.applications import Application

Preprocess: TypeAlias = Callable[[Any], Any]
"""Float32 tensor ``(N, H, W, 3)`` RGB 0–255 → the model's input; can be traced inside a `tf.function`."""

_FIXED: dict[str, Preprocess] = {
    "none": lambda images: images,
    "0..1": lambda images: images / 255.0,
    "-1..1": lambda images: images / 127.5 - 1.0,
}
_ARITHMETIC = ("Add", "Subtract", "Multiply", "TrueDivide", "Divide")


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """A preprocessing, its name, and a line for the user where it was guessed."""

    function: Preprocess
    name: str
    note: str = ""


def resolve_preprocessing(option: Any) -> Preprocessing:
    """The preprocessing that ``--preprocess`` names, other than ``auto``.

    Args:
        option: a name, ``package.module:function``, a function as `Preprocess`, or None for ``none``.

    Raises:
        OptionError: it is not known.
        ModelError: ``package.module:function`` cannot be imported.
    """
    if option is None:
        option = "none"
    if callable(option):
        return Preprocessing(option, getattr(option, "__name__", type(option).__name__))
    if not isinstance(option, str):
        raise OptionError(f"preprocess is a {type(option).__name__}", expected="a name, a function or None")
    if option in _FIXED:
        return Preprocessing(_FIXED[option], option)
    if option in applications.FAMILIES:
        return Preprocessing(applications.preprocessing(option), option)
    if is_function_path(option):
        return Preprocessing(import_function(option), option)
    known = ("auto", *_FIXED, *applications.FAMILIES)
    raise OptionError(
        f"--preprocess {option!r} is not known",
        expected=f"one of {', '.join(known)}, or package.module:function",
        hint=did_you_mean(option, known),
    )


def guess_preprocessing(model: Any, name: str, application: Application | None, dtype: str) -> Preprocessing:
    """The preprocessing of a model that came from outside, with an announcement.

    Args:
        model: a Keras model.
        name: how the user called it.
        application: whose name the model bears.
        dtype: of its input for pictures.
    """
    layer = find_scaling_layer(model)
    if application is not None:
        return Preprocessing(
            applications.preprocessing(application.family),
            application.family,
            f"preprocess {application.family}: {describe_model_name(name, model)}; --preprocess changes that",
        )
    if dtype == "uint8":
        return Preprocessing(_FIXED["none"], "none", f"preprocess none: {name} takes uint8")
    if layer:
        return Preprocessing(_FIXED["none"], "none", f"preprocess none: {name} scales its input itself (layer {layer})")
    return Preprocessing(
        _FIXED["none"], "none", f"preprocess not known for {name}: RGB 0-255 as it is; --preprocess changes that"
    )


def describe_model_name(name: str, model: Any) -> str:
    """Says what a model calls itself, for announcements: ``m.keras is called resnet50``."""
    return f"{name} is called {model.name}" if name != model.name else f"the model is called {name}"


def find_scaling_layer(model: Any) -> str:
    """Name of the layer or operation that scales the pictures before the first convolution, or ``""``."""
    from ..tf import keras

    layers = keras.layers
    found = ""

    def walk(operations: Any) -> bool:
        """True once the first layer that learns is reached."""
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
