"""Names of classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import OptionError
from .foreign import file_named

IMAGENET_CLASSES = 1000


def imagenet_labels() -> tuple[str, ...]:
    """One short name for each class of ILSVRC-2012, in its order; no two are the same in any case."""
    text = files(__package__).joinpath("data/imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def numbered(classes: int) -> tuple[str, ...]:
    """``class 0``, ``class 1`` …; the two classes of a single sigmoid unit are ``negative`` and ``positive``."""
    return ("negative", "positive") if classes == 1 else tuple(f"class {index}" for index in range(classes))


def named(option: Any, outputs: int, name: str) -> tuple[str, ...]:
    """The labels that ``--labels`` names, other than ``auto``.

    Args:
        option: ``imagenet``, a text file with one class a line, or the names.
        outputs: width of the model's output; a width of 1 means two classes.
        name: the model, for messages.

    Raises:
        OptionError: the file cannot be read, the names are no text, or their number is not that of the model's classes.
    """
    if not isinstance(option, (str, os.PathLike)):
        found, told = _given(option), "labels"
    else:
        found = imagenet_labels() if option == "imagenet" else _read(file_named(option))
        told = f"--labels {option}"
    classes = len(numbered(outputs))
    if len(found) != classes:
        raise OptionError(f"{told} has {len(found)} classes", wanted=f"{classes}, as {name} has")
    return found


def _given(option: Any) -> tuple[str, ...]:
    wanted = "auto, imagenet, a file, or a sequence of names"
    if not isinstance(option, Iterable) or isinstance(option, (bytes, Mapping)):
        raise OptionError(f"labels is a {type(option).__name__}", wanted=wanted)
    names = tuple(option)
    for one in names:
        if not isinstance(one, str):
            raise OptionError(f"labels has {one!r} in it", wanted=wanted)
    return tuple(map(str, names))


def _read(path: Path) -> tuple[str, ...]:
    wanted = "auto, imagenet, or a text file with one class a line"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise OptionError(f"--labels {path} is not text in UTF-8", wanted=wanted) from error
    except OSError as error:
        raise OptionError(f"--labels {path} cannot be read: {error.strerror}", wanted=wanted) from error
    if "" in lines:
        raise OptionError(f"--labels {path}: line {lines.index('') + 1} is empty", wanted="one class a line")
    return tuple(lines)
