"""Models in files: Keras's own ``.keras``, ``.h5`` of older versions, and SavedModel folders."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .foreign import described

SUFFIXES = (".keras", ".h5", ".hdf5")
_WANTED = "a .keras or .h5 file as model.save(...) writes it, or a SavedModel folder"
_OWN_FUNCTION = "and name it with --model package.module:function"


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
        raise ModelError(f"model {path} is a folder without a saved_model.pb", wanted=_WANTED)
    if not path.exists():
        raise ModelError(f"there is no model file {path}", wanted=_WANTED)
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"model {path} is of no known kind", wanted=_WANTED)
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"model {path} is damaged or not a .keras file", wanted=_WANTED)
    from .backend import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise _translated(path, error) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} holds a {type(model).__name__}", wanted="a keras.Model")
    return model


def _translated(path: Path, error: Exception) -> ModelError:
    told = described(error)
    unknown = re.search(r"Could not locate (?:class|function) '(\w+)'|Unknown (?:layer|object): '(\w+)'", told)
    if unknown:
        return ModelError(
            f"model {path} needs {unknown[1] or unknown[2]}, which is code outside the file",
            do=f"load it in a function of your own that knows {unknown[1] or unknown[2]}, {_OWN_FUNCTION}",
        )
    # Keras stores a lambda as its bytes in a list under "value", and not every place that reads one says so.
    if "lambda" in told.lower() or "identifier: {'value': [" in told:
        return ModelError(
            f"model {path} carries Python code (a lambda), which is not run",
            do="if you trust the file, load it with keras.saving.load_model(path, safe_mode=False) in a function "
            f"of your own {_OWN_FUNCTION}",
        )
    if "No model config" in told:
        return ModelError(f"{path} holds weights without a model", wanted=_WANTED)
    return ModelError(f"model {path} cannot be read: {told}", wanted=_WANTED)
