"""The inputs of a model: which one takes the pictures, and what the others get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, nearest
from .feed import Feeder, Input, Shape, feeder, told

_PICTURES = "RGB pictures (N, height, width, 3)"


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
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


def symbolic(model: Any, end: str) -> list[Any] | None:
    """The symbolic ``inputs`` or ``outputs``; None where the model has none, as subclassed ones do."""
    try:
        tensors = getattr(model, end)
    except (AttributeError, ValueError):
        return None
    return None if tensors is None else list(tensors)


def wire(model: Any, name: str, image_input: str, feed: Mapping[str, Any]) -> Wiring:
    """Finds the input for pictures and fills the others.

    Args:
        model: a Keras model.
        name: the model, for messages.
        image_input: name of the input for pictures; empty finds the only one of shape ``(N, h, w, 3)`` that is not fed.
        feed: what the other inputs get, as `feeder` takes it.

    Raises:
        ModelError: no input, or more than one, takes pictures; an input is not fed, or there is none of that name;
            or the model is channels_first.
        OptionError: a value cannot be used for its input.
    """
    _check_layout(model, name)
    tensors = symbolic(model, "inputs")
    if tensors is None:
        return _undeclared(model, name, image_input, feed)
    inputs = {tensor.name: Input(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors}
    _check_names(inputs, name, image_input, feed)
    picture = _picture(inputs, name, image_input, feed)
    _check_fed(inputs, name, picture.name, feed)
    feeders = {other: feeder(other, value, inputs[other]) for other, value in feed.items()}
    call = _packed(model, [tensor.name for tensor in tensors], feeders)
    return Wiring(call, picture.shape, picture.dtype, declared=True)


def _packed(model: Any, order: list[str], feeders: dict[str, Feeder]) -> Callable[[Any], Any]:
    """Calls a model with its inputs in the structure in which it declares them."""
    from .backend import keras

    structure = _structure(model)

    def call(pictures: Any) -> Any:
        values = [feeders[name](pictures) if name in feeders else pictures for name in order]
        return model(keras.tree.pack_sequence_as(structure, values), training=False)

    return call


def _structure(model: Any) -> Any:
    from .backend import keras

    inputs = symbolic(model, "inputs") or []
    try:
        structure = model.input
    except (AttributeError, ValueError):
        structure = None
    # A Sequential has no structure of its own; inside another model, `input` is what it was called with there.
    if [id(tensor) for tensor in keras.tree.flatten(structure)] == [id(tensor) for tensor in inputs]:
        return structure
    return inputs[0] if len(inputs) == 1 else inputs


def _undeclared(model: Any, name: str, image_input: str, feed: Mapping[str, Any]) -> Wiring:
    """A subclassed model: what it takes is known from how it was first called, at best."""
    built = (model.get_build_config() or {}).get("input_shape")
    shape: Shape = tuple(built) if isinstance(built, (tuple, list)) and _is_shape(built) else (None, None, None, 3)
    if not image_input:
        if feed:
            raise ModelError(
                f"{name} does not declare its inputs, so --feed needs to know the one for pictures",
                do="give --image-input NAME as well: the model is then called with a dict of its inputs",
            )
        check_picture(shape, name)
        return Wiring(lambda pictures: model(pictures, training=False), shape, "float32", declared=False)
    if _is_shape(built):
        raise ModelError(f"--image-input {image_input}: {name} takes the pictures alone, without a name")
    if image_input in feed:
        raise _fed_pictures(image_input)
    if isinstance(built, dict) and all(map(_is_shape, built.values())):
        inputs = {key: Input(key, (None, *lengths[1:]), "") for key, lengths in built.items()}
        _check_names(inputs, name, image_input, feed)
        _check_fed(inputs, name, image_input, feed)
        shape = inputs[image_input].shape
    check_picture(shape, f"input {image_input} of {name}")
    feeders = {other: feeder(other, value, None) for other, value in feed.items()}

    def call(pictures: Any) -> Any:
        values = {other: function(pictures) for other, function in feeders.items()}
        return model({image_input: pictures, **values}, training=False)

    return Wiring(call, shape, "float32", declared=False)


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(length is None or isinstance(length, int) for length in value)


def _check_names(inputs: dict[str, Input], name: str, image_input: str, feed: Mapping[str, Any]) -> None:
    for option, given in (("--image-input", image_input), *(("--feed", other) for other in feed)):
        if given and given not in inputs:
            hint = nearest(given, inputs) or f"it has {', '.join(map(str, inputs.values()))}"
            raise ModelError(f"{option}: {name} has no input {given!r}", do=hint)


def _check_fed(inputs: dict[str, Input], name: str, picture: str, feed: Mapping[str, Any]) -> None:
    missing = [one for one in inputs.values() if one.name != picture and one.name not in feed]
    if missing:
        raise ModelError(
            f"{name} needs a value for each of its other inputs: {', '.join(map(str, missing))}",
            do=" ".join(["give", *(f"--feed {one.name}=VALUE" for one in missing)]),
        )


def _picture(inputs: dict[str, Input], name: str, image_input: str, feed: Mapping[str, Any]) -> Input:
    """The input that takes the pictures."""
    if image_input or len(inputs) == 1:
        picture = inputs[image_input] if image_input else next(iter(inputs.values()))
        if picture.name in feed:
            raise _fed_pictures(picture.name)
        check_picture(picture.shape, name if len(inputs) == 1 else f"input {picture.name} of {name}")
        return picture
    fitting = [one for one in inputs.values() if len(one.shape) == 4 and one.shape[3] == 3]
    waiting = [one for one in fitting if one.name not in feed]
    if len(waiting) == 1:
        return waiting[0]
    if not fitting:
        for one in inputs.values():
            if len(one.shape) == 4 and one.shape[1] == 3:
                check_picture(one.shape, f"input {one.name} of {name}")
        raise ModelError(
            f"no input of {name} takes pictures: {', '.join(map(str, inputs.values()))}", wanted=f"one for {_PICTURES}"
        )
    if not waiting:
        raise _fed_pictures(fitting[0].name)
    raise ModelError(
        f"{len(waiting)} inputs of {name} can take pictures: {', '.join(map(str, waiting))}",
        do="choose with --image-input NAME and feed the others",
    )


def _fed_pictures(name: str) -> ModelError:
    return ModelError(f"--feed {name}: this input takes the pictures", do="feed the other inputs only")


def check_picture(shape: Shape, name: str) -> None:
    """Refuses an input that does not take RGB pictures with the channels last.

    Raises:
        ModelError: says what it takes.
    """
    if len(shape) != 4:
        raise ModelError(f"{name} takes {told(shape)}", wanted=_PICTURES)
    if shape[3] == 3:
        return
    if shape[1] == 3:
        raise _channels_first(f"{name} takes {told(shape)}")
    raise ModelError(f"{name} takes {told(shape)}, pictures of {shape[3] or '?'} channels", wanted=_PICTURES)


def _check_layout(model: Any, name: str) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise _channels_first(f"layer {layer.name} of {name} has data_format channels_first")


def _channels_first(what: str) -> ModelError:
    return ModelError(
        f"{what}; channels_first is not supported",
        wanted=_PICTURES,
        do="build the model with data_format='channels_last' and copy the weights, convolution kernels are the same",
    )
