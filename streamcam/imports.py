"""Import ``package.module:function``, and expand user paths."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import ModelError, describe_error, did_you_mean, error_summary


def expand_path(name: str | os.PathLike[str]) -> Path:
    """Expand ``~`` in the name of a file or folder; everything else, including spaces, stays literal.

    Opening a file and checking whether it has changed both use this function, so that they mean the same file.

    Args:
        name: as the user gave it.
    """
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # no such user
        return path


def is_function_path(text: str) -> bool:
    """Return True for ``package.module:function``, False for a path or a URL."""
    module, _, function = text.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def import_function(path: str) -> Callable[..., Any]:
    """Import ``package.module:function``, from an installed package or the working directory.

    Args:
        path: as given to an option.

    Raises:
        ModelError: no such module or function, or the import failed.
    """
    module_name, _, function_name = path.partition(":")
    try:
        with working_directory_importable():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(f"{path} cannot be imported: {error_summary(error)}") from error
        raise ModelError(
            f"{path} cannot be imported: no module {error.name}",
            expected="an installed module or one in the working directory",
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path} cannot be imported: {describe_error(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        callables = [name for name, value in vars(module).items() if callable(value)]
        raise ModelError(
            f"module {module_name} has no function {function_name!r}", hint=did_you_mean(function_name, callables)
        )
    found: Callable[..., Any] = function
    return found


@contextlib.contextmanager
def working_directory_importable() -> Iterator[None]:
    """Put the working directory first on the import path.

    A console script does not have it there.
    """
    directory = os.getcwd()
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(directory)
