"""Declarations of option fields, and the checker of values.

A field declares help text, option name, choices and range::

    alpha: Annotated[float, Help("Opacity of the strongest attribution, 0 to 1."), Range(0, 1)] = 0.6
    layout: Annotated[Literal["overlay", "heatmap"], Help("Heatmap over the frame, or alone.")] = "overlay"

The command line builds its options from these declarations, and each option object checks its values with
`check_options`, so that a wrong value gets the same message from Python and from a shell.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Collection, Hashable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from numbers import Integral
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from .errors import OptionError, did_you_mean


@dataclass(frozen=True, slots=True)
class Help:
    """The help text of an option.

    Attributes:
        text: one sentence, shown by ``--help``.
        option: name on the command line; empty for the field's own name.
        metavar: placeholder of the value; empty for the choices or none.
        default: shown in place of the default value.
        bare: the value of an option that is given without one; empty if it needs one.
    """

    text: str
    option: str = ""
    metavar: str = ""
    default: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option accepts.

    Attributes:
        low, high: smallest and largest value.
        expected: words for a message; empty for ``LOW to HIGH``.
    """

    low: float
    high: float
    expected: str = ""

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return self.expected or f"{_format_value(self.low)} to {_format_value(self.high)}"


@dataclass(frozen=True, slots=True)
class OptionField:
    """One field of an option object.

    Attributes:
        name: of the field.
        type: its type, without `Annotated`.
        help: None for a field that is not an option.
        range: None if any number is valid.
        default: `MISSING` for a required field.
    """

    name: str
    type: Any
    help: Help | None
    range: Range | None
    default: Any

    @property
    def option(self) -> str:
        """The option's name on the command line."""
        return (self.help and self.help.option) or f"--{self.name.replace('_', '-')}"

    @property
    def members(self) -> tuple[Any, ...]:
        """The types of a union; else the type alone."""
        return get_args(self.type) if get_origin(self.type) in (Union, types.UnionType) else (self.type,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words of the field's Literal types."""
        return tuple(word for one in self.members if get_origin(one) is Literal for word in get_args(one))

    @property
    def has_only_choices(self) -> bool:
        """True if the field takes only its choices, or None."""
        return all(get_origin(one) is Literal or one is type(None) for one in self.members)

    def check(self, value: Any) -> None:
        """Check a value.

        Raises:
            OptionError: unknown word, a number out of range, or a value of another type.
        """
        if value is None and type(None) in self.members:
            return
        if self.choices and not self.has_only_choices and self._is_number(value):
            raise OptionError(
                f"{self.option} is the text {value!r}", expected=str(self.range or "a number"), hint="omit the quotes"
            )
        if self.choices and (self.has_only_choices or isinstance(value, str)):
            check_choice(self.option, value, self.choices, expected=str(self.range or ""))
        elif self.range:
            try:
                is_number = not isinstance(value, bool) and (float in self.members or isinstance(value, Integral))
                is_valid = is_number and value in self.range
            except TypeError:
                is_valid = False
            if not is_valid:
                raise OptionError(f"invalid {self.option} {_format_value(value)}", expected=str(self.range))

    def _is_number(self, value: Any) -> bool:
        """Return True for a number written as text; the command line has parsed those that it accepts."""
        if not isinstance(value, str) or value in self.choices:
            return False
        for number in {int, float}.intersection(self.members):
            with contextlib.suppress(ValueError):
                number(value)
                return True
        return False


def option_fields(kind: type[Any]) -> dict[str, OptionField]:
    """Return the fields of an option object, by name and in order."""
    return _read_fields(cast(Hashable, kind))


@functools.cache
def _read_fields(kind: Hashable) -> dict[str, OptionField]:
    assert isinstance(kind, type)
    assert is_dataclass(kind)
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for one in fields(kind):
        hint = hints[one.name]
        notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        found[one.name] = OptionField(
            name=one.name,
            type=get_args(hint)[0] if notes else hint,
            help=next((note for note in notes if isinstance(note, Help)), None),
            range=next((note for note in notes if isinstance(note, Range)), None),
            default=one.default if one.default_factory is MISSING else one.default_factory(),
        )
    return found


def check_options(options: Any) -> None:
    """Check every field of an option object: choices and range.

    Raises:
        OptionError: the first value that cannot be used.
    """
    for one in option_fields(type(options)).values():
        one.check(getattr(options, one.name))


def check_choice(option: str, value: Any, choices: Collection[str], *, expected: str = "") -> None:
    """Check that a word is one of the known ones.

    Args:
        option: name of the option.
        value: the word.
        choices: the known words.
        expected: words for the message if the option takes numbers too.

    Raises:
        OptionError: an unknown word.
    """
    if value not in choices:
        raise OptionError(
            f"unknown {option} {value!r}",
            expected=expected or f"one of {', '.join(choices)}",
            hint=did_you_mean(str(value), choices),
        )


def _format_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value) if isinstance(value, str) else str(value)
