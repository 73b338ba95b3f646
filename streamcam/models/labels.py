"""Names of classes, and the class that a user means."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from ..errors import OptionError, TargetError, nearest

IMAGENET_CLASSES = 1000
_MOST_NAMED = 5


def imagenet_labels() -> tuple[str, ...]:
    """One short name for each class of ILSVRC-2012, in its order; no two are the same in any case."""
    text = files(__package__).joinpath("data/imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def numbered(classes: int) -> tuple[str, ...]:
    """``class 0``, ``class 1`` …; the two classes of a single sigmoid unit are ``negative`` and ``positive``."""
    return ("negative", "positive") if classes == 1 else tuple(f"class {index}" for index in range(classes))


def named(option: str, outputs: int, name: str) -> tuple[str, ...]:
    """The labels that ``--labels`` names, other than ``auto``.

    Args:
        option: ``imagenet``, or a text file with one class a line.
        outputs: width of the model's output; a width of 1 means two classes.
        name: the model, for messages.

    Raises:
        OptionError: the file cannot be read, or the number of labels is not that of the model's classes.
    """
    labels = imagenet_labels() if option == "imagenet" else _read(Path(option))
    classes = len(numbered(outputs))
    if len(labels) != classes:
        raise OptionError(f"--labels {option} has {len(labels)} classes", wanted=f"{classes}, as {name} has")
    return labels


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


def target_index(labels: tuple[str, ...], target: str) -> int | None:
    """The class that ``--target`` means.

    Args:
        labels: one name for each class.
        target: ``top``; an index; or a name in any case. Words from a name are enough where no other name
            has them.

    Returns:
        The index; None for ``top``, each frame's most probable class.

    Raises:
        TargetError: no class, or more than one, answers to it.
    """
    wanted = target.strip().casefold()
    if wanted == "top":
        return None
    if re.fullmatch(r"[+-]?\d+", wanted):
        index = int(wanted)
        if not 0 <= index < len(labels):
            raise TargetError(f"there is no class {index}", wanted=f"0 to {len(labels) - 1}")
        return index
    folded = [label.casefold() for label in labels]
    words = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
    found = [index for index, label in enumerate(folded) if label == wanted] or [
        index for index, label in enumerate(folded) if wanted and words.search(label)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{labels[index]!r} ({index})" for index in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise TargetError(
            f"{len(found)} classes are called {target!r}: {listed}{more}", do="use the whole name or index"
        )
    raise TargetError(
        f"there is no class {target!r}",
        wanted=f"top, an index from 0 to {len(labels) - 1}, or a name",
        do=nearest(target, labels),
    )
