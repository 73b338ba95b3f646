"""A model by name, file or function, or one that is there already, with everything that is known of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..config import DEFAULT_MODEL, ModelOptions
from ..errors import ModelError, nearest
from ..geometry import Size
from . import applications, labels, preprocessing
from .applications import APPLICATIONS
from .files import SUFFIXES, load_file
from .foreign import described, file_named, import_function, is_function_path, working_directory_importable
from .preprocessing import Choice, Preprocess
from .shapes import interface


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ModelInfo:
    """What is known of a classifier of pictures.

    Attributes:
        name: how the user called it.
        input_size: ``(width, height)`` it was made for.
        flexible: True where it takes any input size.
        preprocess_name: as in ``--preprocess``.
        labels: one for each class; a single output (a sigmoid unit) has two classes, no and yes.
        notes: one-line announcements of what was guessed.
    """

    name: str
    input_size: Size
    flexible: bool
    preprocess_name: str
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LoadedModel(ModelInfo):
    """A classifier of pictures, ready to run.

    Attributes:
        model: the `keras.Model`, for looking at its layers.
        call: preprocessed pictures ``(N, H, W, 3)`` → ``(N, outputs)``, not training; feeds the model's other inputs.
            Can be traced.
        preprocess: float32 tensor ``(N, H, W, 3)`` RGB 0–255 → the model's input, traceable.
    """

    model: Any
    call: Callable[[Any], Any]
    preprocess: Preprocess


def load_model(options: ModelOptions) -> LoadedModel:
    """Loads the model that the options name; takes seconds, for TensorFlow comes with it.

    Raises:
        ModelError: it is not known, cannot be loaded, or is no classifier of RGB pictures.
        OptionError: ``--preprocess``, ``--labels`` or a value for an input cannot be used with it.
    """
    if not isinstance(options.model, (str, os.PathLike)):
        return _guessed(_checked(options.model, "model is"), options.model.name, options)
    model = os.fspath(options.model)
    if applications.folded(model) == applications.folded(DEFAULT_MODEL):
        from . import efficientnet_lite0

        own = Choice(efficientnet_lite0.preprocess, DEFAULT_MODEL)
        return _known(efficientnet_lite0.load(), DEFAULT_MODEL, options, own)
    application = applications.find(model)
    if application is not None:
        family = Choice(applications.preprocessing(application.family), application.family)
        return _known(applications.make(application), application.name, options, family)
    return _guessed(*_from_outside(model), options)


def _known(model: Any, name: str, options: ModelOptions, own: Choice) -> LoadedModel:
    """A model whose preprocessing and classes are its publisher's: nothing is to be announced."""
    found = interface(model, name, options.image_input, options.feed)
    choice = own if _is_auto(options.preprocess) else preprocessing.named(options.preprocess)
    option = "imagenet" if _is_auto(options.labels) else options.labels
    return LoadedModel(
        name=name,
        model=model,
        call=found.call,
        input_size=found.input_size,
        flexible=found.flexible,
        preprocess=choice.function,
        preprocess_name=choice.name,
        labels=labels.named(option, found.outputs, name),
    )


def _guessed(model: Any, name: str, options: ModelOptions) -> LoadedModel:
    """A model from outside: what its file does not say is guessed, and announced."""
    found = interface(model, name, options.image_input, options.feed)
    notes = []
    if not found.sized:
        notes.append(f"input size not known for {name}: {found.input_size[0]}x{found.input_size[1]}")
    application = applications.recognise(model.name)
    if _is_auto(options.preprocess):
        choice = preprocessing.guessed(model, name, application, found.dtype)
        notes.append(choice.note)
    else:
        choice = preprocessing.named(options.preprocess)
    if not _is_auto(options.labels):
        classes = labels.named(options.labels, found.outputs, name)
    elif application is not None and found.outputs == labels.IMAGENET_CLASSES:
        classes = labels.imagenet_labels()
        notes.append(f"labels imagenet: {preprocessing.called(name, model)}; --labels changes that")
    else:
        classes = labels.numbered(found.outputs)
        notes.append(f"labels not known for {name}: {classes[0]!r} to {classes[-1]!r}; --labels FILE names them")
    return LoadedModel(
        name=name,
        model=model,
        call=found.call,
        input_size=found.input_size,
        flexible=found.flexible,
        preprocess=choice.function,
        preprocess_name=choice.name,
        labels=classes,
        notes=tuple(notes),
    )


def _from_outside(model: str) -> tuple[Any, str]:
    """The model in a file or from a function, and how to call it."""
    path = file_named(model)
    if path.exists() or path.suffix.lower() in SUFFIXES:
        return load_file(path), path.name
    if is_function_path(model):
        return _from_function(model), model
    known = (DEFAULT_MODEL, *(application.name for application in APPLICATIONS.values()))
    raise ModelError(
        f"model {model!r} is not known",
        wanted="a name from streamcam models, a .keras or .h5 file, a SavedModel folder or package.module:function",
        do=nearest(model, known),
    )


def _from_function(path: str) -> Any:
    function = import_function(path)
    try:
        with working_directory_importable():
            model = function()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path} failed: {described(error)}") from error
    return _checked(model, f"{path} returned")


def _checked(model: Any, what: str) -> Any:
    from .backend import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"{what} a {type(model).__name__}", wanted=f"a keras.Model of Keras {keras.__version__}")
    return model


def _is_auto(option: Any) -> bool:
    # Not by == alone: an array of names compares one by one.
    return isinstance(option, str) and option == "auto"
