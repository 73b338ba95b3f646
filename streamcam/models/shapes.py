"""What a model takes and gives, checked before anything expensive happens."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, StreamcamError
from ..geometry import Size
from .feed import told
from .foreign import described
from .inputs import symbolic, wire

USUAL_SIZE: Size = (224, 224)
"""Taken for models that do not say their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Interface:
    """Input and output of a classifier of pictures.

    Attributes:
        call: preprocessed pictures ``(N, H, W, 3)`` → ``(N, outputs)``, not training; can be traced.
        input_size: ``(width, height)``.
        sized: False where the model does not say its size and `USUAL_SIZE` was taken.
        flexible: True where it takes any size.
        dtype: of the input for pictures; float32 where the model does not say.
        outputs: width of its output, ``(N, outputs)``.
    """

    call: Callable[[Any], Any]
    input_size: Size
    sized: bool
    flexible: bool
    dtype: str
    outputs: int


def interface(model: Any, name: str, image_input: str = "", feed: Mapping[str, Any] | None = None) -> Interface:
    """Finds a model's interface.

    A model that has no symbolic input (a subclassed one) is called once with a black picture, which also
    builds it, and leaves its variables as they were.

    Args:
        model: a Keras model.
        name: the model, for messages.
        image_input: name of the input for pictures; empty finds it.
        feed: what the other inputs get, by name, as `feeder` takes it.

    Raises:
        ModelError: the model does not take one batch of RGB pictures, or does not give one row of numbers each.
        OptionError: a value cannot be used for its input.
    """
    from .backend import keras, one_at_a_time

    wiring = wire(model, name, image_input, feed or {})
    height, width = wiring.shape[1:3]
    size = (width or USUAL_SIZE[0], height or USUAL_SIZE[1])
    outputs = symbolic(model, "outputs") if wiring.declared else None
    if outputs is None:
        try:
            with one_at_a_time, unchanged(model), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = keras.tree.flatten(wiring.call(keras.ops.zeros((1, size[1], size[0], 3))))
        except StreamcamError:
            raise
        except Exception as error:
            raise ModelError(f"{name} cannot be run on a picture of {size[0]}x{size[1]}: {described(error)}") from error
    if len(outputs) != 1:
        raise ModelError(f"{name} has {len(outputs)} outputs", wanted="one, (N, classes), as of a classifier")
    result = tuple(outputs[0].shape)
    if len(result) != 2 or not result[1]:
        raise ModelError(f"the output of {name} is {told(result)}", wanted="(N, classes), as of a classifier")

    def call(pictures: Any) -> Any:
        # A model may return its only output in a list or a dict.
        return keras.tree.flatten(wiring.call(keras.ops.convert_to_tensor(pictures)))[0]

    return Interface(
        call=call,
        input_size=size,
        sized=bool(width and height),
        flexible=wiring.declared and not (width or height),
        dtype=wiring.dtype,
        outputs=int(result[1]),
    )


@contextlib.contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Gives a model's variables back what they held before; those that are made meanwhile, what they began with."""
    from .backend import tf

    held: list[tuple[Any, Any]] = []

    def hold(variable: Any) -> None:
        held.append((variable, variable.read_value()))  # shares the memory until somebody changes the variable

    def made(make: Callable[..., Any], **options: Any) -> Any:
        variable = make(**options)
        if tf.executing_eagerly():
            hold(variable)
        return variable

    own = [variable.value for variable in model.variables]
    for layer in model._flatten_layers():
        own.extend(vars(layer).values())  # Keras does not count TensorFlow's own variables
    for variable in own:
        if isinstance(variable, tf.Variable):
            hold(variable)
    with tf.variable_creator_scope(made):
        try:
            yield
        finally:
            for variable, value in held:
                variable.assign(value)
