"""What comes from outside: files and functions that are named, and the messages of foreign errors."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import ModelError, did_you_mean

_MAX_SUMMARY_LENGTH = 200


def expand_path(name: str | os.PathLike[str]) -> Path:
    """What the name of a file or folder means: itself, spaces too, but for ``~``, which is the user's home.

    Whoever opens what an option names asks here, and so does whoever looks whether it has changed.
    """
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # nobody's home
        return path


def is_function_path(text: str) -> bool:
    """True for ``package.module:function``; never for a path or a URL."""
    module, _, function = text.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def import_function(path: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names, installed or in the working directory.

    Raises:
        ModelError: no such module or function, or the module fails while it is imported.
    """
    module_name, _, function_name = path.partition(":")
    try:
        with working_directory_importable():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(f"{path} cannot be imported: {error_summary(error)}") from error
        raise ModelError(
            f"{path} cannot be imported: there is no module {error.name}",
            expected="one that is installed or lies in the working directory",
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
    """Puts the working directory first on the import path; a console script does not have it there."""
    directory = os.getcwd()
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(directory)


def describe_error(error: BaseException) -> str:
    """Type and reason of an error, ``ValueError: too small``."""
    summary = error_summary(error)
    return type(error).__name__ if summary == type(error).__name__ else f"{type(error).__name__}: {summary}"


def error_summary(error: BaseException) -> str:
    """The one sentence of a foreign error that says why.

    Keras wraps an error again and again, each time with the whole configuration before it; what happened comes last,
    or in bold letters.
    """
    # A KeyError shows its message as a literal.
    text = str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)
    text = text.rpartition("Exception encountered:")[2].strip()
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", text, re.DOTALL)
    text = bold[1] if bold and text.startswith("Exception encountered when calling") else text
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    sentence = re.split(r"(?<=[^.\s]{2})\. (?=[A-Z])", line)[0]
    return sentence if len(sentence) <= _MAX_SUMMARY_LENGTH else f"{sentence[:_MAX_SUMMARY_LENGTH]}…"
