"""Code blocks of Markdown pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_OPENING = re.compile(r"^ *```[^`\n]+$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        page: path of the page, relative to the repository.
        line: number of its first line of code.
        language: word behind the fence, such as ``python``.
        title: text of ``title="…"``, or empty.
        code: its lines, without the fence.
    """

    page: str
    line: int
    language: str
    title: str
    code: str


@dataclass(frozen=True, slots=True)
class Command:
    """One program of a console line.

    Attributes:
        text: the whole line, for messages.
        environment: assignments before the program.
        arguments: the program and its arguments.
        piped: True if another program feeds or reads it.
    """

    text: str
    environment: dict[str, str]
    arguments: tuple[str, ...]
    piped: bool


def pages() -> list[str]:
    """Return the README and every page below ``docs/``, relative to the repository."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page that name a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        width = len(match["indent"])
        code = "".join(line[width:] for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("body")) + 1
        found.append(Block(page, line, match["language"], match["title"] or "", code))
    opened = len(_OPENING.findall(text))
    assert len(found) == opened, f"{page}: {opened} fences name a language, {len(found)} could be read"
    return found


def commands(block: Block) -> Iterator[Command]:
    """Yield the programs of a console block: lines that begin with ``$``, without the output between them."""
    for line in block.code.replace("\\\n", " ").splitlines():
        if not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line[2:], posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        stages: list[list[str]] = [[]]
        for token in lexer:
            if token and set(token) <= set("|&;"):
                stages.append([])
            else:
                stages[-1].append(token)
        for stage in stages:
            environment = {}
            while stage and (match := _ASSIGNMENT.fullmatch(stage[0])):
                environment[match[1]] = match[2]
                stage = stage[1:]
            yield Command(line[2:], environment, tuple(stage), piped=len(stages) > 1)
