"""Class names: ImageNet, defaults, and the value of ``--labels``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import OptionError, count_of
from ..imports import expand_path

NUM_IMAGENET_CLASSES = 1000


def imagenet_labels() -> tuple[str, ...]:
    """Return a short name for each class of ILSVRC-2012, in its order; unique regardless of case."""
    text = files(__package__).joinpath("data/imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def default_labels(num_outputs: int) -> tuple[str, ...]:
    """Return ``class 0``, ``class 1`` …; ``negative`` and ``positive`` for a single sigmoid unit.

    Args:
        num_outputs: width of the model's output.
    """
    return ("negative", "positive") if num_outputs == 1 else tuple(f"class {index}" for index in range(num_outputs))


def resolve_labels(option: Any, num_outputs: int, name: str) -> tuple[str, ...]:
    """Return the labels of a value of ``--labels`` other than ``auto``.

    Args:
        option: ``imagenet``, a text file with one class per line, or the names.
        num_outputs: width of the model's output; a width of 1 means two classes.
        name: name of the model, for messages.

    Raises:
        OptionError: the file cannot be read, a name is no text, or the model has another number of classes.
    """
    if not isinstance(option, (str, os.PathLike)):
        found, source = _check_names(option), "labels"
    else:
        found = imagenet_labels() if option == "imagenet" else _read_file(expand_path(option))
        source = f"--labels {option}"
    num_classes = len(default_labels(num_outputs))
    if len(found) != num_classes:
        raise OptionError(
            f"{source} has {count_of(len(found), 'class', 'classes')}", expected=f"{num_classes}, the classes of {name}"
        )
    return found


def _check_names(option: Any) -> tuple[str, ...]:
    expected = "auto, imagenet, a file, or a sequence of names"
    if not isinstance(option, Iterable) or isinstance(option, (bytes, Mapping)):
        raise OptionError(f"invalid labels of type {type(option).__name__}", expected=expected)
    names = tuple(option)
    for one in names:
        if not isinstance(one, str):
            raise OptionError(f"invalid label {one!r}", expected=expected)
    return tuple(map(str, names))


def _read_file(path: Path) -> tuple[str, ...]:
    expected = "auto, imagenet, or a text file with one class per line"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise OptionError(f"--labels {path} is not text in UTF-8", expected=expected) from error
    except OSError as error:
        raise OptionError(f"--labels {path} cannot be read: {error.strerror}", expected=expected) from error
    if "" in lines:
        raise OptionError(f"--labels {path}: line {lines.index('') + 1} is empty", expected="one class per line")
    return tuple(lines)
