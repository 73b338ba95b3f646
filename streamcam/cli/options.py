"""Options of the commands, built from the fields of the option objects."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_origin

import typer
from typer.core import TyperCommand

from .. import keywords
from ..errors import OptionError
from ..option_fields import OptionField, option_fields
from ..options import (
    DrawOptions,
    ExplainOptions,
    ModelOptions,
    SinkOptions,
    SourceOptions,
    TemporalOptions,
)
from .inputs import names_input, names_missing_input, parse_key_values

MODEL_PANEL, DRAW_PANEL, FILE_PANEL = "Model and method", "Drawing", "Reading and writing"

R = TypeVar("R")

Panels = dict[str, list[OptionField]]
"""Options by the panel of ``--help`` that shows them."""


def select(kind: type[Any], names: Iterable[str]) -> list[OptionField]:
    """Return the named fields that are command-line options."""
    known = option_fields(kind)
    return [known[name] for name in names if known[name].help]


MODEL = [
    *select(ModelOptions, keywords.ModelKeywords.__annotations__),
    *select(ExplainOptions, keywords.ExplainKeywords.__annotations__),
]
TEMPORAL = select(TemporalOptions, keywords.TemporalKeywords.__annotations__)
DRAW = select(DrawOptions, keywords.DrawKeywords.__annotations__)
FILES = [
    *select(SourceOptions, keywords.SourceKeywords.__annotations__),
    *select(SinkOptions, keywords.SinkKeywords.__annotations__),
]
"""Groups of options that several commands share."""


def with_options(
    panels: Panels, *, inherited: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command the options of fields.

    The command receives their values, parsed, as keyword arguments named like the fields. They stand before its own
    keyword-only parameters in ``--help``.

    Args:
        panels: the fields, by panel.
        inherited: panels whose options are None if they are not given, and the text for their default in ``--help``.
    """
    fields = [(panel, one) for panel, group in panels.items() for one in group]

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def run_command(**values: Any) -> R:
            parsed = {
                one.name: _parse(one, values.pop(one.name), is_inherited=panel in inherited) for panel, one in fields
            }
            return command(**values, **parsed)

        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        parameters = [
            *(one for one in own if one.kind is not one.KEYWORD_ONLY),
            *(_parameter(one, panel, inherited.get(panel, "")) for panel, one in fields),
            *(one for one in own if one.kind is one.KEYWORD_ONLY),
        ]
        run_command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run_command.bare_values = {one.option: one.help.bare for _, one in fields if one.help and one.help.bare}  # type: ignore[attr-defined]
        run_command.__annotations__ = {one.name: one.annotation for one in parameters}
        return run_command

    return decorate


class Command(TyperCommand):
    """A command with options that may stand without a value.

    Such an option takes the next argument as its value if that is no option and names no input. ``--option=VALUE``
    always has this value. A name of a video or image that does not exist is refused: it is an input, mistyped.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each option without a value its own, then parse."""
        try:
            args = fill_bare_options(args, getattr(self.callback, "bare_values", {}))
        except OptionError as error:
            raise typer.BadParameter(str(error), ctx) from None
        return super().parse_args(ctx, args)


def fill_bare_options(arguments: list[str], bare_values: Mapping[str, str]) -> list[str]:
    """Return the arguments with the values of options that stand alone.

    Args:
        arguments: of a command.
        bare_values: option, and its value if it stands alone.

    Raises:
        OptionError: the next argument is neither an input nor the name of a folder.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    filled = []
    for number, one in enumerate(arguments[:end]):
        if one not in bare_values:
            filled.append(one)
            continue
        following = arguments[number + 1 : number + 2]
        is_bare = following in ([], ["--"]) or following[0].startswith("-") or names_input(following[0])
        if not is_bare and names_missing_input(following[0]):
            raise OptionError(
                f"{one} is followed by {following[0]}, which does not exist",
                hint=f"correct this input, or write {one}={following[0]} for a new folder",
            )
        filled.append(f"{one}={bare_values[one]}" if is_bare else one)
    return filled + arguments[end:]


def _parameter(one: OptionField, panel: str, inherited: str) -> inspect.Parameter:
    """Describe a field as a parameter that typer understands."""
    assert one.help is not None
    kind, default = _text_type(one), one.default
    if kind is str and default is not None:
        default = one.help.default or str(default)
    elif default is MISSING or kind == (list[str] | None):
        default = None
    can_be_off = kind is bool and (default or inherited)
    flags = [f"{one.option}/--no-{one.option.removeprefix('--')}" if can_be_off else one.option]
    shown = inherited or one.help.default
    if inherited:
        kind, default = kind | None, None
    option = typer.Option(
        *flags,
        help=one.help.text,
        metavar=one.help.metavar or ("|".join(one.choices) if one.has_only_choices and one.choices else None),
        show_default=shown or default is not None,
        rich_help_panel=panel,
    )
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _text_type(one: OptionField) -> Any:
    """Return the type that typer parses: words stay text, so that the option object's own check refuses them."""
    if _is_list(one):
        return list[str] | None
    if one.type in (bool, int, float, int | None, float | None) and one.name not in _PARSERS:
        return one.type
    return str if one.default is not None else str | None


def _is_list(one: OptionField) -> bool:
    return get_origin(one.type) in (tuple, Mapping)


def _parse(one: OptionField, value: Any, *, is_inherited: bool) -> Any:
    """Turn a value of the command line into that of the field."""
    if is_inherited and value in (None, []):
        return None
    if get_origin(one.type) is Mapping:
        return parse_key_values(one.option, value)
    if get_origin(one.type) is tuple:
        return tuple(value) if value else one.default
    if not isinstance(value, str):
        return value
    if one.name in _PARSERS:
        return _PARSERS[one.name](one.option, value)
    return _parse_number(one, value) if one.choices and not one.has_only_choices else value


def _parse_number(one: OptionField, text: str) -> int | float | str:
    """Parse the value of an option that takes words and numbers."""
    for number in (int, float):
        if number in one.members:
            try:
                return number(text)
            except ValueError:
                pass
    return text


def _parse_batch(option: str, text: str) -> int:
    if text == "auto":
        return 0
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"invalid {option} {text!r}", expected="auto or a number") from None


_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600}


def _parse_duration(option: str, text: str) -> Fraction:
    """Parse ``90``, ``90s``, ``1.5m``, ``2h``, ``1:30`` or ``0:01:30.5`` as seconds.

    Raises:
        OptionError: another form.
    """
    try:
        if text[-1:] in _SECONDS_PER_UNIT:
            return Fraction(text[:-1]) * _SECONDS_PER_UNIT[text[-1]]
        hours, minutes, rest = ["0"] * (2 - text.count(":")) + text.split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(rest)
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"invalid {option} {text!r}", expected="seconds or h:m:s, such as 90, 10m, 1:30 or 0:01:30.5"
        ) from None


def _parse_seconds(option: str, text: str) -> float:
    return float(_parse_duration(option, text))


_PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    "batch": _parse_batch,
    "start": _parse_duration,
    "end": _parse_duration,
    "segment_seconds": _parse_seconds,
    "duration_seconds": _parse_seconds,
}
"""Parsers (of option and text) of fields with a special form on the command line."""
