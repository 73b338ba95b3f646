"""Input and output signature of a model, checked before any expensive step."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, StreamcamError, describe_error
from ..geometry import Size
from .extra_inputs import format_shape
from .input_binding import bind_inputs, symbolic_tensors

DEFAULT_INPUT_SIZE: Size = (224, 224)
"""Input size of models that do not define one."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelSignature:
    """Input and output of an image classifier.

    Attributes:
        call: preprocessed images ``(N, H, W, channels)`` → ``(N, outputs)``, with ``training=False``; traceable.
        input_size: ``(width, height)``.
        declares_size: False if the model does not define its size and `DEFAULT_INPUT_SIZE` is used.
        accepts_any_size: True if it accepts any size.
        dtype: dtype of the image input; float32 if the model does not define it.
        channels: channels of the image input.
        num_outputs: width of the output ``(N, outputs)``.
    """

    call: Callable[[Any], Any]
    input_size: Size
    declares_size: bool
    accepts_any_size: bool
    dtype: str
    channels: int
    num_outputs: int


def model_signature(
    model: Any,
    name: str,
    image_input: str = "",
    extra_input: Mapping[str, Any] | None = None,
    *,
    any_channels: bool = False,
    image_shape: tuple[int, int, int] | None = None,
) -> ModelSignature:
    """Find the input and output signature of a model.

    A model without symbolic inputs (a subclassed one) is called once with a black image, which also builds it; its
    variables keep their values.

    Args:
        model: a Keras model.
        name: name of the model, for messages.
        image_input: name of the image input; empty: find it.
        extra_input: values of the other inputs by name, as `make_feeder` takes them.
        any_channels: accept any number of channels, because the preprocessing returns them.
        image_shape: height, width and channels of the images, if they are known; None for those of the model.

    Raises:
        ModelError: the model does not take a batch of images, or does not return one row of numbers per image.
        OptionError: invalid value for an input.
    """
    from ..tf import keras, model_lock

    binding = bind_inputs(model, name, image_input, extra_input or {}, any_channels=any_channels)
    height, width, channels = image_shape or binding.shape[1:]
    size = (width or DEFAULT_INPUT_SIZE[0], height or DEFAULT_INPUT_SIZE[1])
    outputs = symbolic_tensors(model, "outputs") if binding.declared else None
    if outputs is None:
        try:
            with model_lock, preserve_variables(model), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = keras.tree.flatten(binding.call(keras.ops.zeros((1, size[1], size[0], channels))))
        except StreamcamError:
            raise
        except Exception as error:
            raise ModelError(
                f"{name} does not accept an image of {size[0]}x{size[1]}: {describe_error(error)}"
            ) from error
    if len(outputs) != 1:
        raise ModelError(f"{name} has {len(outputs)} outputs", expected="one, (N, classes), as of a classifier")
    output_shape = tuple(outputs[0].shape)
    if len(output_shape) != 2 or not output_shape[1]:
        raise ModelError(
            f"the output of {name} is {format_shape(output_shape)}", expected="(N, classes), as of a classifier"
        )

    def call(images: Any) -> Any:
        # A model may return its only output in a list or a dict.
        return keras.tree.flatten(binding.call(keras.ops.convert_to_tensor(images)))[0]

    return ModelSignature(
        call=call,
        input_size=size,
        declares_size=bool(width and height),
        accepts_any_size=binding.declared and not (width or height),
        dtype=binding.dtype,
        channels=channels or 3,
        num_outputs=int(output_shape[1]),
    )


@contextlib.contextmanager
def preserve_variables(model: Any) -> Iterator[None]:
    """Restore the variables of a model after the block; variables created inside it get their initial value.

    Args:
        model: a Keras model.
    """
    from ..tf import tf

    saved: list[tuple[Any, Any]] = []

    def save(variable: Any) -> None:
        saved.append((variable, variable.read_value()))  # shares the memory until the variable changes

    def create_and_save(make: Callable[..., Any], **options: Any) -> Any:
        variable = make(**options)
        if tf.executing_eagerly():
            save(variable)
        return variable

    candidates = [variable.value for variable in model.variables]
    for layer in model._flatten_layers():
        candidates.extend(vars(layer).values())  # Keras does not track plain tf.Variables
    for variable in candidates:
        if isinstance(variable, tf.Variable):
            save(variable)
    with tf.variable_creator_scope(create_and_save):
        try:
            yield
        finally:
            for variable, value in saved:
                variable.assign(value)
