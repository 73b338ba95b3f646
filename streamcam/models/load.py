"""Load a model by name, file, function or object."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ModelError, describe_error, did_you_mean
from ..geometry import Size
from ..imports import expand_path, import_function, is_function_path, working_directory_importable
from ..options import DEFAULT_MODEL, ModelOptions
from . import labels, preprocessing
from .model_files import FOREIGN_FORMATS, SUFFIXES, load_file
from .preprocessing import Preprocess, Preprocessing
from .registry import MODELS
from .signature import model_signature
from .zoo import applications


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ModelInfo:
    """Description of an image classifier.

    Attributes:
        name: name that the user gave.
        input_size: ``(width, height)`` of the model input.
        accepts_any_size: True if it accepts any input size.
        preprocess_name: as in ``--preprocess``; ``preprocessor`` for the one in a KerasHub model.
        labels: one per class; a single output (a sigmoid unit) has two classes, negative and positive.
        notes: one line for each guess, for the user.
        preprocess_guess: the note on the preprocessing if it is a guess that may be wrong; else empty.
    """

    name: str
    input_size: Size
    accepts_any_size: bool
    preprocess_name: str
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    preprocess_guess: str = ""

    @property
    def preprocess_summary(self) -> str:
        """The preprocessing, marked if it is a guess: ``none (guessed)``."""
        return f"{self.preprocess_name} (guessed)" if self.preprocess_guess else self.preprocess_name


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LoadedModel(ModelInfo):
    """An image classifier, ready to run.

    Attributes:
        model: the `keras.Model`, to read its layers.
        call: preprocessed images ``(N, H, W, channels)`` → ``(N, outputs)``, with ``training=False`` and the other
            inputs bound; traceable.
        preprocess: float32 tensor ``(N, H, W, 3)`` RGB 0–255 → model input; traceable.
    """

    model: Any
    call: Callable[[Any], Any]
    preprocess: Preprocess


def load_model(options: ModelOptions) -> LoadedModel:
    """Load the model that the options name; takes seconds, because it imports TensorFlow.

    Args:
        options: the model, its preprocessing, labels and extra inputs.

    Raises:
        ModelError: unknown model, it cannot be loaded, or is no classifier of RGB images.
        OptionError: ``--preprocess``, ``--labels`` or the value of an input does not fit the model.
    """
    if not isinstance(options.model, (str, os.PathLike)):
        return _load_external(_check_keras_model(options.model, "model is"), options.model.name, options)
    model = os.fspath(options.model)
    if applications.normalize_name(model) == applications.normalize_name(DEFAULT_MODEL):
        from .zoo import efficientnet_lite0

        builtin_preprocessing = Preprocessing(efficientnet_lite0.preprocess, DEFAULT_MODEL)
        return _load_builtin(efficientnet_lite0.load(), DEFAULT_MODEL, options, builtin_preprocessing)
    application = applications.find(model)
    if application is not None:
        family_preprocessing = Preprocessing(applications.preprocessing(application.family), application.family)
        return _load_builtin(applications.make(application), application.name, options, family_preprocessing)
    return _load_external(*_resolve_model(model, trusted=options.trust_model), options)


def _load_builtin(model: Any, name: str, options: ModelOptions, default_preprocessing: Preprocessing) -> LoadedModel:
    """Wrap a published model, whose preprocessing and classes are known."""
    signature = model_signature(model, name, options.image_input, options.extra_input)
    choice = (
        default_preprocessing
        if _is_auto(options.preprocess)
        else preprocessing.resolve_preprocessing(options.preprocess)
    )
    option = "imagenet" if _is_auto(options.labels) else options.labels
    return LoadedModel(
        name=name,
        model=model,
        call=signature.call,
        input_size=signature.input_size,
        accepts_any_size=signature.accepts_any_size,
        preprocess=choice.function,
        preprocess_name=choice.name,
        labels=labels.resolve_labels(option, signature.num_outputs, name),
    )


def _load_external(model: Any, name: str, options: ModelOptions) -> LoadedModel:
    """Wrap a user's model: guess what its file does not define, with a note for each guess."""
    any_channels = preprocessing.is_custom_option(options.preprocess)
    signature = model_signature(model, name, options.image_input, options.extra_input, any_channels=any_channels)
    notes = list(getattr(model, "load_notes", ()))
    application = applications.recognise(model.name)
    is_imagenet = application is not None and signature.num_outputs == labels.NUM_IMAGENET_CLASSES
    own = preprocessing.find_preprocessor(model) if _is_auto(options.preprocess) else None
    if own is not None:
        choice, size = own
        if size is not None and not signature.declares_size:
            signature = replace(signature, input_size=size, declares_size=True, accepts_any_size=False)
    elif _is_auto(options.preprocess):
        choice = preprocessing.guess_preprocessing(model, name, application, signature.dtype, is_imagenet=is_imagenet)
    else:
        choice = preprocessing.resolve_preprocessing(options.preprocess)
    if not signature.declares_size:
        notes.append(f"input size unknown for {name}, assuming {signature.input_size[0]}x{signature.input_size[1]}")
    if choice.note:
        notes.append(choice.note)
    if signature.channels == 1 and not choice.is_custom:
        notes.append(f"{name} takes one channel: the luma of each frame")
    if not _is_auto(options.labels):
        classes = labels.resolve_labels(options.labels, signature.num_outputs, name)
    elif is_imagenet:
        classes = labels.imagenet_labels()
        notes.append(f"labels imagenet: {preprocessing.describe_model_name(name, model)}; override with --labels")
    else:
        classes = labels.default_labels(signature.num_outputs)
        notes.append(f"labels unknown for {name}: using {classes[0]!r} to {classes[-1]!r}; set them with --labels FILE")
    return LoadedModel(
        name=name,
        model=model,
        call=signature.call,
        input_size=signature.input_size,
        accepts_any_size=signature.accepts_any_size,
        preprocess=preprocessing.for_channels(choice, signature.channels, name).function,
        preprocess_name=choice.name,
        labels=classes,
        notes=tuple(notes),
        preprocess_guess=choice.note if choice.is_guess else "",
    )


def _resolve_model(model: str, *, trusted: bool) -> tuple[Any, str]:
    """Load the model of a file or a function; return it with its name."""
    path = expand_path(model)
    if path.exists() or path.suffix.lower() in (*SUFFIXES, *FOREIGN_FORMATS):
        return load_file(path, trusted=trusted), path.name
    if is_function_path(model):
        return _call_model_function(model), model
    raise ModelError(
        f"unknown --model {model!r}",
        expected="a name from streamcam models, a .keras or .h5 file, a SavedModel folder or package.module:function",
        hint=did_you_mean(model, MODELS),
    )


def _call_model_function(path: str) -> Any:
    function = import_function(path)
    try:
        with working_directory_importable():
            model = function()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path} failed: {describe_error(error)}") from error
    return _check_keras_model(model, f"{path} returned")


def _check_keras_model(model: Any, subject: str) -> Any:
    from ..tf import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"{subject} a {type(model).__name__}", expected=f"a keras.Model of Keras {keras.__version__}")
    return model


def _is_auto(option: Any) -> bool:
    # `==` alone would compare an array of names element by element.
    return isinstance(option, str) and option == "auto"
