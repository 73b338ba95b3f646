"""The inputs of a model: which one takes the pictures, and what the others get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, did_you_mean
from .extra_inputs import Feeder, InputSpec, Shape, format_shape, make_feeder

_IMAGE_BATCH = "RGB pictures (N, height, width, 3)"


@dataclass(frozen=True, slots=True, eq=False)
class InputBinding:
    """How pictures get into a model.

    Attributes:
        call: preprocessed pictures ``(N, H, W, 3)`` → what the model returns for them, not training.
        shape: of the input for pictures, with the batch axis.
        dtype: of that input.
        declared: False where the model does not declare its inputs, and the shape is what it was first called with.
    """

    call: Callable[[Any], Any]
    shape: Shape
    dtype: str
    declared: bool


def symbolic_tensors(model: Any, end: str) -> list[Any] | None:
    """The symbolic ``inputs`` or ``outputs``; None where the model has none, as subclassed ones do."""
    try:
        tensors = getattr(model, end)
    except (AttributeError, ValueError):
        return None
    return None if tensors is None else list(tensors)


def bind_inputs(model: Any, name: str, image_input: str, extra_input: Mapping[str, Any]) -> InputBinding:
    """Finds the input for pictures and fills the others.

    Args:
        model: a Keras model.
        name: the model, for messages.
        image_input: name of the input for pictures; empty finds the only one of shape ``(N, h, w, 3)`` that is not fed.
        extra_input: what the other inputs get, as `feeder` takes it.

    Raises:
        ModelError: no input, or more than one, takes pictures; an input is not fed, or there is none of that name;
            or the model is channels_first.
        OptionError: a value cannot be used for its input.
    """
    _check_layout(model, name)
    tensors = symbolic_tensors(model, "inputs")
    if tensors is None:
        return _bind_subclassed(model, name, image_input, extra_input)
    inputs = {tensor.name: InputSpec(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors}
    _check_names(inputs, name, image_input, extra_input)
    image_spec = _find_image_input(inputs, name, image_input, extra_input)
    _check_extra_input(inputs, name, image_spec.name, extra_input)
    feeders = {other: make_feeder(other, value, inputs[other]) for other, value in extra_input.items()}
    call = _make_call(model, [tensor.name for tensor in tensors], feeders)
    return InputBinding(call, image_spec.shape, image_spec.dtype, declared=True)


def _make_call(model: Any, order: list[str], feeders: dict[str, Feeder]) -> Callable[[Any], Any]:
    """Calls a model with its inputs in the structure in which it declares them."""
    from ..tf import keras

    structure = _structure(model)

    def call(images: Any) -> Any:
        values = [feeders[name](images) if name in feeders else images for name in order]
        return model(keras.tree.pack_sequence_as(structure, values), training=False)

    return call


def _structure(model: Any) -> Any:
    from ..tf import keras

    inputs = symbolic_tensors(model, "inputs") or []
    try:
        structure = model.input
    except (AttributeError, ValueError):
        structure = None
    # A Sequential has no structure of its own; inside another model, `input` is what it was called with there.
    if [id(tensor) for tensor in keras.tree.flatten(structure)] == [id(tensor) for tensor in inputs]:
        return structure
    return inputs[0] if len(inputs) == 1 else inputs


def _bind_subclassed(model: Any, name: str, image_input: str, extra_input: Mapping[str, Any]) -> InputBinding:
    """A subclassed model: what it takes is known from how it was first called, at best."""
    built = (model.get_build_config() or {}).get("input_shape")
    shape: Shape = tuple(built) if isinstance(built, (tuple, list)) and _is_shape(built) else (None, None, None, 3)
    if not image_input:
        if extra_input:
            raise ModelError(
                f"{name} does not declare its inputs, so --extra-input needs to know the one for pictures",
                hint="give --image-input NAME as well: the model is then called with a dict of its inputs",
            )
        check_image_shape(shape, name)
        return InputBinding(lambda images: model(images, training=False), shape, "float32", declared=False)
    if _is_shape(built):
        raise ModelError(f"--image-input {image_input}: {name} takes the pictures alone, without a name")
    if image_input in extra_input:
        raise _image_input_conflict(image_input)
    if isinstance(built, dict) and all(map(_is_shape, built.values())):
        inputs = {key: InputSpec(key, (None, *lengths[1:]), "") for key, lengths in built.items()}
        _check_names(inputs, name, image_input, extra_input)
        _check_extra_input(inputs, name, image_input, extra_input)
        shape = inputs[image_input].shape
    check_image_shape(shape, f"input {image_input} of {name}")
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
            hint = did_you_mean(given, inputs) or f"it has {', '.join(map(str, inputs.values()))}"
            raise ModelError(f"{option}: {name} has no input {given!r}", hint=hint)


def _check_extra_input(
    inputs: dict[str, InputSpec], name: str, image_input: str, extra_input: Mapping[str, Any]
) -> None:
    missing = [one for one in inputs.values() if one.name != image_input and one.name not in extra_input]
    if missing:
        raise ModelError(
            f"{name} needs a value for each of its other inputs: {', '.join(map(str, missing))}",
            hint=" ".join(["give", *(f"--extra-input {one.name}=VALUE" for one in missing)]),
        )


def _find_image_input(
    inputs: dict[str, InputSpec], name: str, image_input: str, extra_input: Mapping[str, Any]
) -> InputSpec:
    """The input that takes the pictures."""
    if image_input or len(inputs) == 1:
        image_spec = inputs[image_input] if image_input else next(iter(inputs.values()))
        if image_spec.name in extra_input:
            raise _image_input_conflict(image_spec.name)
        check_image_shape(image_spec.shape, name if len(inputs) == 1 else f"input {image_spec.name} of {name}")
        return image_spec
    candidates = [one for one in inputs.values() if len(one.shape) == 4 and one.shape[3] == 3]
    unassigned = [one for one in candidates if one.name not in extra_input]
    if len(unassigned) == 1:
        return unassigned[0]
    if not candidates:
        for one in inputs.values():
            if len(one.shape) == 4 and one.shape[1] == 3:
                check_image_shape(one.shape, f"input {one.name} of {name}")
        raise ModelError(
            f"no input of {name} takes pictures: {', '.join(map(str, inputs.values()))}",
            expected=f"one for {_IMAGE_BATCH}",
        )
    if not unassigned:
        raise _image_input_conflict(candidates[0].name)
    raise ModelError(
        f"{len(unassigned)} inputs of {name} can take pictures: {', '.join(map(str, unassigned))}",
        hint="choose with --image-input NAME and feed the others",
    )


def _image_input_conflict(name: str) -> ModelError:
    return ModelError(f"--extra-input {name}: this input takes the pictures", hint="feed the other inputs only")


def check_image_shape(shape: Shape, name: str) -> None:
    """Refuses an input that does not take RGB pictures with the channels last.

    Raises:
        ModelError: says what it takes.
    """
    if len(shape) != 4:
        raise ModelError(f"{name} takes {format_shape(shape)}", expected=_IMAGE_BATCH)
    if shape[3] == 3:
        return
    if shape[1] == 3:
        raise _channels_first_error(f"{name} takes {format_shape(shape)}")
    raise ModelError(
        f"{name} takes {format_shape(shape)}, pictures of {shape[3] or '?'} channels", expected=_IMAGE_BATCH
    )


def _check_layout(model: Any, name: str) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise _channels_first_error(f"layer {layer.name} of {name} has data_format channels_first")


def _channels_first_error(what: str) -> ModelError:
    return ModelError(
        f"{what}; channels_first is not supported",
        expected=_IMAGE_BATCH,
        hint="build the model with data_format='channels_last' and copy the weights, convolution kernels are the same",
    )
