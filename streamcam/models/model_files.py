"""Models in files: Keras's own ``.keras``, ``.h5`` of older versions, and SavedModel folders."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..imports import describe_error

SUFFIXES = (".keras", ".h5", ".hdf5")
_EXPECTED = "a .keras or .h5 file as model.save(...) writes it, or a SavedModel folder"
_MODEL_FUNCTION_HINT = "and name it with --model package.module:function"


def load_file(path: Path) -> Any:
    """Loads a model, uncompiled.

    Code inside the file (a Lambda layer) is not run: files come from strangers. A SavedModel folder is a
    `saved_model.SavedModel` afterwards.

    Raises:
        ModelError: no such file; not a model; damaged; or it needs code that is not in it.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            from . import saved_model

            return saved_model.load(path)
        raise ModelError(f"model {path} is a folder without a saved_model.pb", expected=_EXPECTED)
    if not path.exists():
        raise ModelError(f"there is no model file {path}", expected=_EXPECTED)
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"model {path} is of no known kind", expected=_EXPECTED)
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"model {path} is damaged or not a .keras file", expected=_EXPECTED)
    from ..tf import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise _translate_error(path, error) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} holds a {type(model).__name__}", expected="a keras.Model")
    return model


def _translate_error(path: Path, error: Exception) -> ModelError:
    description = describe_error(error)
    unknown = re.search(r"Could not locate (?:class|function) '(\w+)'|Unknown (?:layer|object): '(\w+)'", description)
    if unknown:
        return ModelError(
            f"model {path} needs {unknown[1] or unknown[2]}, which is code outside the file",
            hint=f"load it in a function of your own that knows {unknown[1] or unknown[2]}, {_MODEL_FUNCTION_HINT}",
        )
    # Keras stores a lambda as its bytes in a list under "value", and not every place that reads one says so.
    if "lambda" in description.lower() or "identifier: {'value': [" in description:
        return ModelError(
            f"model {path} carries Python code (a lambda), which is not run",
            hint="if you trust the file, load it with keras.saving.load_model(path, safe_mode=False) in a function "
            f"of your own {_MODEL_FUNCTION_HINT}",
        )
    if "No model config" in description:
        return ModelError(f"{path} holds weights without a model", expected=_EXPECTED)
    return ModelError(f"model {path} cannot be read: {description}", expected=_EXPECTED)
