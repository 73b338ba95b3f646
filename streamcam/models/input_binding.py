"""Bind the inputs of a model: find the one for images, and feed the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, did_you_mean
from .extra_inputs import Feeder, InputSpec, Shape, format_shape, make_feeder

_IMAGE_BATCH = "RGB images (N, height, width, 3)"


@dataclass(frozen=True, slots=True, eq=False)
class InputBinding:
    """A model with all inputs but the one for images bound.

    Attributes:
        call: preprocessed images ``(N, H, W, C)`` → the model's return value, with ``training=False``.
        shape: shape of the image input, with the batch axis.
        dtype: dtype of the image input.
        declared: False if the model does not declare its inputs; the shape is then that of its first call.
    """

    call: Callable[[Any], Any]
    shape: Shape
    dtype: str
    declared: bool


def symbolic_tensors(model: Any, end: str) -> list[Any] | None:
    """Return the symbolic ``inputs`` or ``outputs`` of a model; None for a subclassed model without them.

    Args:
        model: a Keras model.
        end: ``inputs`` or ``outputs``.
    """
    try:
        tensors = getattr(model, end)
    except (AttributeError, ValueError):
        return None
    return None if tensors is None else list(tensors)


def bind_inputs(
    model: Any, name: str, image_input: str, extra_input: Mapping[str, Any], *, any_channels: bool = False
) -> InputBinding:
    """Find the input for images and bind the others to their values.

    Args:
        model: a Keras model.
        name: name of the model, for messages.
        image_input: name of the image input; empty: the only input of shape ``(N, h, w, 3)`` without a value, or, if
            there is none, of shape ``(N, h, w, 1)``.
        extra_input: values of the other inputs by name, as `make_feeder` takes them.
        any_channels: accept any number of channels, because the preprocessing returns them.

    Raises:
        ModelError: no input, or more than one, takes images; an input has no value; unknown input name; or the model
            is channels_first.
        OptionError: invalid value for an input.
    """
    _check_layout(model, name)
    tensors = symbolic_tensors(model, "inputs")
    if tensors is None:
        return _bind_subclassed(model, name, image_input, extra_input, any_channels=any_channels)
    inputs = {tensor.name: InputSpec(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors}
    _check_names(inputs, name, image_input, extra_input)
    image_spec = _find_image_input(inputs, name, image_input, extra_input, any_channels=any_channels)
    _check_extra_input(inputs, name, image_spec.name, extra_input)
    feeders = {other: make_feeder(other, value, inputs[other]) for other, value in extra_input.items()}
    call = _make_call(model, [tensor.name for tensor in tensors], feeders)
    return InputBinding(call, image_spec.shape, image_spec.dtype, declared=True)


def _make_call(model: Any, order: list[str], feeders: dict[str, Feeder]) -> Callable[[Any], Any]:
    """Make a function that passes inputs in the declared structure."""
    from ..tf import keras

    structure = _structure(model)

    def call(images: Any) -> Any:
        values = [feeders[name](images) if name in feeders else images for name in order]
        return model(keras.tree.pack_sequence_as(structure, values), training=False)

    return call


def _structure(model: Any) -> Any:
    """Return the structure in which a model declares its inputs."""
    from ..tf import keras

    inputs = symbolic_tensors(model, "inputs") or []
    try:
        structure = model.input
    except (AttributeError, ValueError):
        structure = None
    # A Sequential has no structure; inside another model, `input` is the tensor of that call.
    if [id(tensor) for tensor in keras.tree.flatten(structure)] == [id(tensor) for tensor in inputs]:
        return structure
    return inputs[0] if len(inputs) == 1 else inputs


def _bind_subclassed(
    model: Any, name: str, image_input: str, extra_input: Mapping[str, Any], *, any_channels: bool
) -> InputBinding:
    """Bind a subclassed model: only its first call may show its inputs."""
    built = (model.get_build_config() or {}).get("input_shape")
    shape: Shape = tuple(built) if isinstance(built, (tuple, list)) and _is_shape(built) else (None, None, None, 3)
    if not image_input:
        if extra_input:
            raise ModelError(
                f"{name} does not declare its inputs: --extra-input also needs --image-input",
                hint="add --image-input NAME: the model is then called with a dict of its inputs",
            )
        check_image_shape(shape, name, any_channels=any_channels)
        return InputBinding(lambda images: model(images, training=False), shape, "float32", declared=False)
    if _is_shape(built):
        raise ModelError(f"invalid --image-input {image_input}: {name} takes only images, as an unnamed input")
    if image_input in extra_input:
        raise _image_input_conflict(image_input)
    if isinstance(built, dict) and all(map(_is_shape, built.values())):
        inputs = {key: InputSpec(key, (None, *lengths[1:]), "") for key, lengths in built.items()}
        _check_names(inputs, name, image_input, extra_input)
        _check_extra_input(inputs, name, image_input, extra_input)
        shape = inputs[image_input].shape
    check_image_shape(shape, f"input {image_input} of {name}", any_channels=any_channels)
    feeders = {other: make_feeder(other, value, None) for other, value in extra_input.items()}

    def call(images: Any) -> Any:
        values = {other: function(images) for other, function in feeders.items()}
        return model({image_input: images, **values}, training=False)

    return InputBinding(call, shape, "float32", declared=False)


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(length is None or isinstance(length, int) for length in value)


def _check_names(inputs: dict[str, InputSpec], name: str, image_input: str, extra_input: Mapping[str, Any]) -> None:
    for option, given in (("--image-input", image_input), *(("--extra-input", other) for other in extra_input)):
        if given and given not in inputs:
            hint = did_you_mean(given, inputs) or f"its inputs are {', '.join(map(str, inputs.values()))}"
            raise ModelError(f"unknown {option} {given!r}: no input of {name}", hint=hint)


def _check_extra_input(
    inputs: dict[str, InputSpec], name: str, image_input: str, extra_input: Mapping[str, Any]
) -> None:
    missing = [one for one in inputs.values() if one.name != image_input and one.name not in extra_input]
    if missing:
        raise ModelError(
            f"{name} needs a value for each of its other inputs: {', '.join(map(str, missing))}",
            hint=" ".join(["add", *(f"--extra-input {one.name}=VALUE" for one in missing)]),
        )


def _find_image_input(
    inputs: dict[str, InputSpec], name: str, image_input: str, extra_input: Mapping[str, Any], *, any_channels: bool
) -> InputSpec:
    """Return the input that takes the images."""
    if image_input or len(inputs) == 1:
        image_spec = inputs[image_input] if image_input else next(iter(inputs.values()))
        if image_spec.name in extra_input:
            raise _image_input_conflict(image_spec.name)
        subject = name if len(inputs) == 1 else f"input {image_spec.name} of {name}"
        check_image_shape(image_spec.shape, subject, any_channels=any_channels)
        return image_spec
    batches = [one for one in inputs.values() if len(one.shape) == 4]
    candidates = [one for one in batches if one.shape[3] == 3] or [
        one for one in batches if one.shape[3] == 1 or (any_channels and one.shape[1] != 3)
    ]
    unassigned = [one for one in candidates if one.name not in extra_input]
    if len(unassigned) == 1:
        return unassigned[0]
    if not candidates:
        for one in batches:
            if one.shape[1] == 3:
                check_image_shape(one.shape, f"input {one.name} of {name}")
        raise ModelError(
            f"no input of {name} takes images: {', '.join(map(str, inputs.values()))}",
            expected=f"one for {_IMAGE_BATCH}",
        )
    if not unassigned:
        raise _image_input_conflict(candidates[0].name)
    raise ModelError(
        f"{len(unassigned)} inputs of {name} can take images: {', '.join(map(str, unassigned))}",
        hint="choose one with --image-input NAME and set the others with --extra-input",
    )


def _image_input_conflict(name: str) -> ModelError:
    return ModelError(f"invalid --extra-input {name}: this input takes the images", hint="set the other inputs only")


def check_image_shape(shape: Shape, name: str, *, any_channels: bool = False) -> None:
    """Check that an input takes images with the channels last.

    Args:
        shape: shape of the input, with the batch axis.
        name: name of the input, for messages.
        any_channels: accept other numbers of channels than 3 (RGB) and 1 (greyscale).

    Raises:
        ModelError: it does not; the message gives its shape.
    """
    if len(shape) != 4:
        raise ModelError(f"{name} takes {format_shape(shape)}", expected=_IMAGE_BATCH)
    if shape[3] in (1, 3) or (any_channels and shape[3]):
        return
    if shape[1] in (1, 3):
        raise _channels_first_error(f"{name} takes {format_shape(shape)}")
    raise ModelError(
        f"{name} takes {format_shape(shape)}, images of {shape[3] or '?'} channels",
        expected=f"{_IMAGE_BATCH} or greyscale images (N, height, width, 1)",
        hint="make its channels with --preprocess package.module:function, from RGB (N, height, width, 3)",
    )


def _check_layout(model: Any, name: str) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise _channels_first_error(f"layer {layer.name} of {name} has data_format channels_first")


def _channels_first_error(problem: str) -> ModelError:
    return ModelError(
        f"{problem}; channels_first is not supported",
        expected=_IMAGE_BATCH,
        hint="build the model with data_format='channels_last' and copy the weights: the kernels have the same layout",
    )
