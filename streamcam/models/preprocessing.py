"""Preprocessing: from RGB 0–255 to the model input, by name, function, the model's own, or guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ..errors import ModelError, OptionError, did_you_mean
from ..geometry import Size
from ..imports import import_function, is_function_path
from .zoo import applications
from .zoo.applications import Application

Preprocess: TypeAlias = Callable[[Any], Any]
"""Float32 tensor ``(N, H, W, 3)`` RGB 0–255 → model input; traceable inside a `tf.function`."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in the luma of Rec. 601, as in OpenCV, Pillow and `tf.image.rgb_to_grayscale`."""

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
        note: a note for the user if it was derived from the model; empty otherwise.
        is_guess: True if the model does not define it, so that it may be wrong.
        is_custom: True for the user's own function.
    """

    function: Preprocess
    name: str
    note: str = ""
    is_guess: bool = False
    is_custom: bool = False


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
        return Preprocessing(option, getattr(option, "__name__", type(option).__name__), is_custom=True)
    if not isinstance(option, str):
        raise OptionError(f"invalid preprocess of type {type(option).__name__}", expected="a name, a function or None")
    if option in _FIXED:
        return Preprocessing(_FIXED[option], option)
    if option in applications.FAMILIES:
        return Preprocessing(applications.preprocessing(option), option)
    if is_function_path(option):
        return Preprocessing(import_function(option), option, is_custom=True)
    known = ("auto", *_FIXED, *applications.FAMILIES)
    raise OptionError(
        f"unknown --preprocess {option!r}",
        expected=f"one of {', '.join(known)}, or package.module:function",
        hint=did_you_mean(option, known),
    )


def is_custom_option(option: Any) -> bool:
    """Return True if a value of ``--preprocess`` is the user's own function."""
    return callable(option) or (isinstance(option, str) and is_function_path(option))


def for_channels(choice: Preprocessing, channels: int, name: str) -> Preprocessing:
    """Return a preprocessing that returns as many channels as the model takes.

    A model of one channel gets the luma of the frame.

    Args:
        choice: the preprocessing.
        channels: channels of the model's input.
        name: name of the model, for messages.
    """
    if channels == 3 and not choice.is_custom:
        return choice

    def apply(images: Any) -> Any:
        if channels == 1 and not choice.is_custom:
            images = _luma(images)
        result = choice.function(images)
        returned = result.shape[-1]
        if channels == 1 and returned == 3:
            return _luma(result)
        if returned is not None and returned != channels:
            raise ModelError(
                f"--preprocess {choice.name} returns images of {returned} channels",
                expected=f"(N, height, width, {channels}), which {name} takes",
            )
        return result

    return replace(choice, function=apply)


def _luma(images: Any) -> Any:
    from ..tf import tf

    weights = tf.constant(_LUMA, images.dtype)
    return tf.reduce_sum(images * weights, axis=-1, keepdims=True)


def find_preprocessor(model: Any) -> tuple[Preprocessing, Size | None] | None:
    """Return the preprocessing and input size that a KerasHub model contains; None if it has none.

    Such a model has a ``preprocessor`` whose ``image_converter`` resizes images, scales and shifts them.

    Args:
        model: a Keras model.
    """
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    if converter is None:
        return None
    scale, offset = getattr(converter, "scale", None), getattr(converter, "offset", None)

    def apply(images: Any) -> Any:
        from ..tf import tf

        images = images if scale is None else images * tf.constant(scale, images.dtype)
        return images if offset is None else images + tf.constant(offset, images.dtype)

    height, width = getattr(converter, "image_size", None) or (None, None)
    note = "preprocess: the preprocessor in the model's file"
    return Preprocessing(apply, "preprocessor", note), (width, height) if width and height else None


def guess_preprocessing(
    model: Any, name: str, application: Application | None, dtype: str, *, is_imagenet: bool = False
) -> Preprocessing:
    """Guess the preprocessing of a user's model, with a note.

    Args:
        model: a Keras model.
        name: name that the user gave.
        application: the Keras application of the same name; None if there is none.
        dtype: dtype of the image input.
        is_imagenet: True if it has the classes of the application's published weights.
    """
    layer = find_scaling_layer(model)
    if application is not None:
        return Preprocessing(
            applications.preprocessing(application.family),
            application.family,
            f"preprocess {application.family}: {describe_model_name(name, model)}; override with --preprocess",
            is_guess=not is_imagenet,
        )
    if dtype == "uint8":
        return Preprocessing(_FIXED["none"], "none", f"preprocess none: {name} takes uint8")
    if layer:
        return Preprocessing(_FIXED["none"], "none", f"preprocess none: {name} scales its input (layer {layer})")
    return Preprocessing(
        _FIXED["none"],
        "none",
        f"preprocess unknown for {name}: RGB 0-255 unchanged; set it with --preprocess",
        is_guess=True,
    )


def describe_model_name(name: str, model: Any) -> str:
    """Describe the name of a model for notes: ``m.keras is named resnet50``.

    Args:
        name: name that the user gave.
        model: a Keras model.
    """
    return f"{name} is named {model.name}" if name != model.name else f"the model is named {name}"


def find_scaling_layer(model: Any) -> str:
    """Return the name of the layer or operation that scales the input; or ``""``."""
    operation = find_scaling_operation(model)
    return "" if operation is None else str(operation.name)


def find_scaling_operation(model: Any) -> Any:
    """Return the layer or operation that scales the input, or None.

    Only the operations before the first weights count.
    """
    from ..tf import keras

    layers = keras.layers
    found = None

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
                found = found or operation
            elif getattr(operation, "weights", None):
                return True
        return False

    walk([model])
    return found
