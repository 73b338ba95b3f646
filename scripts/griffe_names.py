"""Griffe extension: docstring entries such as ``width, height: …`` document each of their names."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Attributes|Args):$")
_ENTRY = re.compile(r"^    ((?:\w+, )+\w+): (.+)$")


class SplitNames(griffe.Extension):
    """Repeat the text of an entry for each name before it."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = split_names(obj.docstring.value)


def split_names(docstring: str) -> str:
    """Return a docstring in which every entry of a section has one name."""
    lines: list[str] = []
    entry: tuple[list[str], list[str]] | None = None
    inside = False

    def flush() -> None:
        if entry is not None:
            names, text = entry
            for name in names:
                lines.extend([f"    {name}: {text[0]}", *text[1:]])

    for line in docstring.splitlines():
        if entry is not None and line.startswith("     "):
            entry[1].append(line)
            continue
        flush()
        entry = None
        if line and not line.startswith(" "):
            inside = bool(_SECTION.match(line))
        match = _ENTRY.match(line) if inside else None
        if match:
            entry = match[1].split(", "), [match[2]]
        else:
            lines.append(line)
    flush()
    return "\n".join(lines)
