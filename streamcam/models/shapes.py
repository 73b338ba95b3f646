"""What a model takes and gives, checked before anything expensive happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from ..geometry import Size
from .foreign import described

USUAL_SIZE: Size = (224, 224)
"""Taken for models that do not say their own."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Input and output of a classifier of pictures.

    Attributes:
        input_size: ``(width, height)``.
        sized: False where the model does not say its size and `USUAL_SIZE` was taken.
        flexible: True where it takes any size.
        outputs: width of its output, ``(N, outputs)``.
    """

    input_size: Size
    sized: bool
    flexible: bool
    outputs: int


def interface(model: Any, name: str) -> Interface:
    """Finds a model's interface.

    A model that has no symbolic input (a subclassed one) is called once with a black picture, which also
    builds it.

    Raises:
        ModelError: the model does not take one batch of RGB pictures, or does not give one row of numbers each.
    """
    from .backend import keras

    declared = _symbolic(model, "inputs")
    if declared is not None and len(declared) != 1:
        raise ModelError(f"{name} has {len(declared)} inputs", wanted="one, pictures (N, height, width, 3)")
    shape = tuple(declared[0].shape) if declared is not None else _built_shape(model)
    _check_input(shape, name)
    height, width = shape[1:3]
    size = (width or USUAL_SIZE[0], height or USUAL_SIZE[1])
    outputs = _symbolic(model, "outputs")
    if declared is None or outputs is None:
        try:
            outputs = keras.tree.flatten(model(keras.ops.zeros((1, size[1], size[0], 3)), training=False))
        except Exception as error:
            raise ModelError(f"{name} cannot be run on a picture of {size[0]}x{size[1]}: {described(error)}") from error
    if len(outputs) != 1:
        raise ModelError(f"{name} has {len(outputs)} outputs", wanted="one, (N, classes), as of a classifier")
    result = tuple(outputs[0].shape)
    if len(result) != 2 or not result[1]:
        raise ModelError(f"the output of {name} is {_told(result)}", wanted="(N, classes), as of a classifier")
    return Interface(
        input_size=size,
        sized=bool(width and height),
        flexible=declared is not None and not (width or height),
        outputs=int(result[1]),
    )


def _symbolic(model: Any, end: str) -> list[Any] | None:
    """The symbolic ``inputs`` or ``outputs``; None where the model has none, as subclassed ones do."""
    try:
        tensors = getattr(model, end)
    except (AttributeError, ValueError):
        return None
    return None if tensors is None else list(tensors)


def _built_shape(model: Any) -> tuple[int | None, ...]:
    config = model.get_build_config() or {}
    shape = config.get("input_shape")
    if isinstance(shape, (tuple, list)) and all(length is None or isinstance(length, int) for length in shape):
        return tuple(shape)
    return (None, None, None, 3)


def _check_input(shape: tuple[int | None, ...], name: str) -> None:
    wanted = "RGB pictures (N, height, width, 3)"
    if len(shape) != 4:
        raise ModelError(f"{name} takes {_told(shape)}", wanted=wanted)
    if shape[3] == 3:
        return
    if shape[1] == 3:
        raise ModelError(f"{name} takes {_told(shape)}, channels first", wanted=wanted)
    raise ModelError(f"{name} takes {_told(shape)}, pictures of {shape[3]} channels", wanted=wanted)


def _told(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('N' if n == 0 else str(length or '?') for n, length in enumerate(shape))})"
