"""Load model files: Keras's ``.keras``, ``.h5`` of older versions, and SavedModel folders."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ..errors import ModelError, describe_error

SUFFIXES = (".keras", ".h5", ".hdf5")
FOREIGN_FORMATS = {
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt", ".safetensors"),
        ("a PyTorch file", "torch.onnx.export(model, images, 'model.onnx') and onnx2tf -i model.onnx -o FOLDER"),
    ),
    ".onnx": ("an ONNX file", "onnx2tf -i model.onnx -o FOLDER"),
    ".tflite": ("a LiteRT (TFLite) file, which has no gradients", "model.export(FOLDER) of the model it was made from"),
}
"""Suffixes of other frameworks' files: what they are, and the commands that make a SavedModel folder."""

_EXPECTED = "a .keras or .h5 file as model.save(...) writes it, or a SavedModel folder"
_TAP = "streamcam>Tap"
"""Name of a tap (`training.VisualLog.tap`) in a file: a loaded model passes its input on and records nothing."""

_MODEL_FUNCTION_HINT = "and name it with --model package.module:function"


def load_file(path: Path, *, trusted: bool = False) -> Any:
    """Load a model file, uncompiled.

    The file may come from an untrusted source: code inside it (a Lambda layer) is not executed, and the graph of a
    SavedModel folder may only compute. Such a folder is returned as a `saved_model.SavedModel`.

    Args:
        path: a ``.keras`` or ``.h5`` file, or a SavedModel folder.
        trusted: execute its code and all its operations.

    Raises:
        ModelError: no such file, not a model, damaged, it needs code that the file does not contain, or it is not
            trusted.
    """
    if path.suffix.lower() in FOREIGN_FORMATS and not path.is_dir():
        kind, command = FOREIGN_FORMATS[path.suffix.lower()]
        raise ModelError(
            f"model {path} is {kind}", expected=_EXPECTED, hint=f"convert it: {command}, then --model FOLDER"
        )
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            from . import saved_model

            return saved_model.load(path, trusted=trusted)
        raise ModelError(f"model {path} is a folder without a saved_model.pb", expected=_EXPECTED)
    if not path.exists():
        raise ModelError(f"no such file: --model {path}", expected=_EXPECTED)
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"model {path} has an unknown format", expected=_EXPECTED)
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"model {path} is damaged or not a .keras file", expected=_EXPECTED)
    from ..tf import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.saving.load_model(
                path, custom_objects={_TAP: keras.layers.Identity}, compile=False, safe_mode=not trusted
            )
    except Exception as error:
        raise _translate_error(path, error) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} contains a {type(model).__name__}", expected="a keras.Model")
    return model


def _translate_error(path: Path, error: Exception) -> ModelError:
    description = describe_error(error)
    unknown = re.search(r"Could not locate (?:class|function) '(\w+)'|Unknown (?:layer|object): '(\w+)'", description)
    if unknown:
        return ModelError(
            f"model {path} needs {unknown[1] or unknown[2]}, whose code is not in the file",
            hint=f"write a function that imports {unknown[1] or unknown[2]} and loads the file, {_MODEL_FUNCTION_HINT}",
        )
    missing = re.search(r"its parent module (keras_\w+)\S* cannot be imported", description)
    if missing:
        package = missing[1].replace("_", "-")
        return ModelError(f"model {path} needs {package}, which is not installed", hint=f"pip install {package}")
    if "TFSMLayer" in description:
        return ModelError(
            f"model {path} contains a TFSMLayer, which loads another SavedModel",
            hint="pass that folder as --model, or, if you made both yourself, add --trust-model",
        )
    # Keras stores a lambda as bytes in a list under "value", and not every error names it.
    if "lambda" in description.lower() or "identifier: {'value': [" in description:
        return ModelError(
            f"model {path} contains Python code (a lambda), which is not executed",
            hint="if you made the model yourself, add --trust-model (trust_model=True in Python)",
        )
    if "No model config" in description:
        return ModelError(f"model {path} contains weights only", expected=_EXPECTED)
    return ModelError(f"model {path} cannot be read: {description}", expected=_EXPECTED)
