"""The filters to visualise: numbers, ranges, the strongest ones, sums of channels, and classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import OptionError
from ...models.targets import parse_class

MAX_FILTERS = 256
"""Filters of one study: each takes seconds."""

_EXPECTED = "numbers and ranges (0-15,40), a sum (3+17), strongest:N or class:NAME, joined by commas"
_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)
_SUM = re.compile(r"\d+(?:\+\d+)+", re.ASCII)
_STRONGEST = re.compile(r"strongest:(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FilterTarget:
    """A score to maximise: the mean activation of channels, or the logit of a class.

    Attributes:
        label: ``17``, ``3+17`` or the name of the class.
        channels: of the layer; their mean activations are added.
        class_index: None for channels.
    """

    label: str
    channels: tuple[int, ...] = ()
    class_index: int | None = None


def parse_filters(
    text: str, labels: tuple[str, ...], num_channels: int, rank: Callable[[], Sequence[int]]
) -> tuple[FilterTarget, ...]:
    """Parse a value of ``--filters``.

    Args:
        text: such as ``0-15``, ``3,17``, ``3+17``, ``strongest:16``, ``class:cockatoo``, or several with commas.
        labels: names of the classes.
        num_channels: channels of the layer.
        rank: returns the channels, the strongest first; called if the text asks for it.

    Returns:
        The targets in the order of the text, each once.

    Raises:
        OptionError: another form, no such channel, or too many.
        TargetError: no such class.
    """
    found: dict[FilterTarget, None] = {}
    for part in split_filters(text):
        if part.startswith("class:"):
            index = parse_class(labels, part.removeprefix("class:"), option="class of --filters")
            found[FilterTarget(labels[index], class_index=index)] = None
        elif match := _STRONGEST.fullmatch(part):
            count = int(match[1])
            if not 1 <= count <= num_channels:
                raise OptionError(f"invalid --filters {part!r}", expected=f"strongest:1 to strongest:{num_channels}")
            found.update((FilterTarget(str(channel), (channel,)), None) for channel in rank()[:count])
        else:
            groups = _channel_groups(part)
            for channel in (one for group in groups for one in group):
                if channel >= num_channels:
                    raise OptionError(f"no filter {channel} in --filters {text!r}", expected=f"0 to {num_channels - 1}")
            found.update((FilterTarget("+".join(map(str, group)), group), None) for group in groups)
    if len(found) > MAX_FILTERS:
        raise OptionError(f"--filters {text!r} are {len(found)} filters", expected=f"at most {MAX_FILTERS}")
    return tuple(found)


def split_filters(text: str) -> list[str]:
    """Split a value of ``--filters`` at its commas, and check each part.

    A class name may contain commas: a part that has no form of its own continues the class before it.

    Raises:
        OptionError: empty, or a part has none of the known forms.
    """
    parts: list[str] = []
    for part in (one.strip() for one in text.split(",")):
        if part.startswith("class:") or _STRONGEST.fullmatch(part) or _SUM.fullmatch(part) or _RANGE.fullmatch(part):
            parts.append(part)
        elif part and parts and parts[-1].startswith("class:"):
            parts[-1] += f", {part}"
        else:
            raise OptionError(f"invalid --filters {text!r}", expected=_EXPECTED)
    for part in parts:
        if "-" in part and not part.startswith("class:"):
            _channel_groups(part)
    return parts


def needs_layer(text: str) -> bool:
    """Return True if the text names channels, not classes alone."""
    return any(not part.startswith("class:") for part in split_filters(text))


def _channel_groups(part: str) -> list[tuple[int, ...]]:
    if _SUM.fullmatch(part):
        return [tuple(map(int, part.split("+")))]
    match = _RANGE.fullmatch(part)
    assert match is not None
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last - first >= MAX_FILTERS:
        raise OptionError(
            f"invalid --filters {part!r}", expected=f"a range of 1 to {MAX_FILTERS} filters, the smaller number first"
        )
    return [(channel,) for channel in range(first, last + 1)]
