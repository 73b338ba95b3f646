"""Targets of an explanation: a class, the contrast of two, or a function of the logits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import StreamcamError, TargetError, describe_error, list_known
from ..imports import import_function, is_function_path

TargetCodes: TypeAlias = NDArray[np.int32]
"""Targets as numbers that a compiled method takes at run time, int32 ``(..., 2)``.

The first is the class, `TOP` for the most probable one, or ``FUNCTION - n`` for the n-th compiled function. The second
is the class to subtract, or `NO_CLASS`.
"""

TOP = NO_CLASS = -1
FUNCTION = -2

_MAX_LISTED = 5
_MINUS = " - "


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The explained score of an image; `parse_target` makes it.

    Attributes:
        label: class name; ``A − B`` for a contrast; function name; empty for ``top``.
        index: class index; None for every other kind.
        kind: ``top`` is the most probable class of each image.
        pair: the two classes of a contrast: positive, negative.
        function: float32 logits ``(N, classes)`` → ``(N,)``.
    """

    label: str
    index: int | None
    kind: Literal["top", "class", "contrast", "function"]
    pair: tuple[int, int] | None = None
    function: Callable[[Any], Any] | None = None

    def call_function(self, logits: Any) -> Any:
        """Return the score of each row by the user's function, float32 ``(N,)``; differentiable.

        Args:
            logits: float tensor ``(N, classes)``.

        Raises:
            TargetError: the function failed, or returned another shape or dtype.
        """
        from ..tf import tf

        assert self.function is not None
        logits = tf.cast(logits, tf.float32)
        try:
            score = tf.convert_to_tensor(self.function(logits))
        except StreamcamError:
            raise
        except Exception as error:
            raise TargetError(f"target function {self.label} failed: {describe_error(error)}") from error
        expected = "float numbers (N,), one for each row of the logits (N, classes)"
        if not (score.dtype.is_floating and score.shape.is_compatible_with(logits.shape[:1])):
            actual = score.shape if score.dtype.is_floating else f"{score.dtype.name} {score.shape}"
            raise TargetError(f"target function {self.label} returned {actual}", expected=expected)
        return tf.cast(score, tf.float32)


class TargetSet:
    """The targets of an explanation, and how a compiled method takes them.

    Args:
        labels: one name per class.
        given: values of ``--target``, as for `parse_target`.

    Attributes:
        targets: the targets, in order.
        functions: those that are functions, each function once: these are compiled in.
        by_code: True if there are others, which are known at run time only.
        codes: the codes of all, ``(targets, 2)``.
    """

    def __init__(self, labels: tuple[str, ...], given: Sequence[Any]) -> None:
        self.targets = tuple(parse_target(labels, one) for one in given)
        by_function = {id(one.function): one for one in self.targets if one.function is not None}
        self.functions = tuple(by_function.values())
        self.by_code = any(one.function is None for one in self.targets)
        numbers = {function: n for n, function in enumerate(by_function)}
        self.codes: TargetCodes = np.array([_encode(one, numbers) for one in self.targets], np.int32)
        self._compiled_in = tuple(one for one, target in zip(given, self.targets, strict=True) if target.function)

    @property
    def compiled_in(self) -> tuple[bool, tuple[Any, ...]]:
        """The part that a compiled method depends on.

        It is equal for sets that differ in classes and contrasts only.
        """
        return self.by_code, self._compiled_in


def _encode(target: Target, functions: dict[int, int]) -> tuple[int, int]:
    if target.function is not None:
        return FUNCTION - functions[id(target.function)], NO_CLASS
    return target.pair or (TOP if target.index is None else target.index, NO_CLASS)


def choose_classes(logits: Any, codes: Any) -> Any:
    """Return the explained class of each row, and the one to subtract.

    Args:
        logits: float tensor ``(N, classes)``.
        codes: int32 tensor ``(N, 2)``, see `TargetCodes`; no functions.

    Returns:
        int64 tensor ``(N, 2)``; `NO_CLASS` if no class is subtracted.
    """
    from ..tf import tf

    codes = tf.cast(codes, tf.int64)
    top = tf.argmax(logits, axis=1, output_type=tf.int64)
    return tf.stack([tf.where(codes[:, 0] < 0, top, codes[:, 0]), codes[:, 1]], axis=1)


def score_classes(logits: Any, classes: Any) -> Any:
    """Return the logit of each row's class, less the subtracted one.

    Args:
        logits: float tensor ``(N, classes)``.
        classes: as from `choose_classes`.

    Returns:
        float32 tensor ``(N,)``, differentiable.
    """
    from ..tf import tf

    logits = tf.cast(logits, tf.float32)
    positive, negative = classes[:, 0], classes[:, 1]
    subtracted = tf.gather(logits, tf.maximum(negative, 0), batch_dims=1)
    return tf.gather(logits, positive, batch_dims=1) - tf.where(negative >= 0, subtracted, 0.0)


def parse_target(labels: tuple[str, ...], text: str | Callable[[Any], Any]) -> Target:
    """Parse a value of ``--target``.

    Args:
        labels: one name per class.
        text: ``top``; an index; a name in any case, or words that only one name contains; ``A - B``, where each side
            is an index or a name; or a function (also as ``package.module:function``) of float32 logits
            ``(N, classes)`` that returns ``(N,)``.

    Raises:
        TargetError: no class matches, or more than one; or a contrast of a class with itself.
        ModelError: the function cannot be imported.
    """
    if callable(text):
        return Target(getattr(text, "__name__", type(text).__name__), None, "function", function=text)
    if text.strip().casefold() == "top":
        return Target("", None, "top")
    # A class name takes precedence over any other meaning of the text.
    found = _find_classes(labels, text)
    if len(found) == 1:
        return Target(labels[found[0]], found[0], "class")
    if not found and _MINUS in text:
        return _parse_contrast(labels, text)
    if not found and is_function_path(text.strip()):
        return Target(text.strip().partition(":")[2], None, "function", function=import_function(text.strip()))
    raise _unclear_target_error(labels, text, found, "top, ")


def parse_class(labels: tuple[str, ...], text: str, *, option: str) -> int:
    """Return the index of the class that a text names.

    Args:
        labels: one name per class.
        text: an index; a name in any case, or words that only one name contains.
        option: the option whose value it is, for messages.

    Raises:
        TargetError: no class matches, or more than one.
    """
    found = _find_classes(labels, text)
    if len(found) != 1:
        raise _unclear_target_error(labels, text, found, "", option)
    return found[0]


def _parse_contrast(labels: tuple[str, ...], text: str) -> Target:
    """Parse ``A - B``. A class name may contain a minus, so that every split is tried."""
    minuses = [at.start() for at in re.finditer(f"(?={_MINUS})", text)]
    splits = [(text[:at], text[at + len(_MINUS) :]) for at in minuses]
    sides = [(_find_classes(labels, left), _find_classes(labels, right)) for left, right in splits]
    clear = [(left[0], right[0]) for left, right in sides if len(left) == len(right) == 1]
    if not clear:
        best = max(range(len(splits)), key=lambda n: sum(len(found) == 1 for found in sides[n]))
        side, found = next(one for one in zip(splits[best], sides[best], strict=True) if len(one[1]) != 1)
        raise _unclear_target_error(labels, side.strip(), found, "")
    if len(clear) > 1:
        raise TargetError(
            f"ambiguous --target {text!r}: {len(clear)} ways to split it", hint="use the indices of the two classes"
        )
    positive, negative = clear[0]
    if positive == negative:
        raise TargetError(
            f"invalid --target {text!r}: contrast of {labels[positive]!r} with itself", expected="two different classes"
        )
    return Target(f"{labels[positive]} − {labels[negative]}", None, "contrast", pair=(positive, negative))


def _find_classes(labels: tuple[str, ...], text: str) -> list[int]:
    """Return the classes that match an index or a name: the whole name, else names that contain it as words."""
    query = text.strip().casefold()
    if _is_index(query):
        index = int(query)
        return [index] if 0 <= index < len(labels) else []
    folded_labels = [label.casefold() for label in labels]
    words = re.compile(rf"(?<!\w){re.escape(query)}(?!\w)")
    return [index for index, label in enumerate(folded_labels) if label == query] or [
        index for index, label in enumerate(folded_labels) if query and words.search(label)
    ]


def _is_index(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text.strip()) is not None


def _unclear_target_error(
    labels: tuple[str, ...], text: str, found: list[int], other_choices: str, option: str = "--target"
) -> TargetError:
    if found:
        listed = ", ".join(f"{labels[index]!r} ({index})" for index in found[:_MAX_LISTED])
        more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
        return TargetError(f"ambiguous {option} {text!r}: {listed}{more}", hint="use the whole name or the index")
    if _is_index(text):
        return TargetError(f"unknown {option} {int(text)}", expected=f"0 to {len(labels) - 1}")
    return TargetError(
        f"unknown {option} {text!r}",
        expected=f"{other_choices}an index from 0 to {len(labels) - 1}, or a name",
        hint=list_known(text, labels, "classes"),
    )
