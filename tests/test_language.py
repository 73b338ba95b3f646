"""Check documentation, docstrings, comments and messages for words of the project's former private language."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

BANNED = {
    r"told|tells|said": "report, log, or name what the code does",
    r"whoever|whatever": "name the subject",
    r"nobody": "no caller, no reader, nothing",
    r"look(?:s|ed|ing)? at": "read, inspect, check; a model explains or runs",
    r"looked(?! at)": "explained, searched",
    r"troubles?": "error, last_error",
    r"outlets?": "output",
    r"roads?": "pipeline",
    r"rooms?": "package, capacity",
    r"cards?": "GPU",
    r"the processor|processors?": "CPU",
    r"left out|passed by": "dropped, omitted",
    r"pictures?": "frame (video) or image (array, file)",
    r"painters?|painted": "renderer, rendered",
    r"watchers?": "viewer",
}
"""Pattern and replacement, matched as whole words in any case."""

ALLOWED = [
    r"\b[IPB]-pictures?\b",
    r"\bpicture (?:parameter set|timing|order count|type)s?\b",
    r"\battached pictures?\b",
    r"\b(?:decoded|coded) pictures?\b",
    r"\bwild ?cards?\b",
]
"""Terms of codec standards and of the field that contain a banned word."""

START = re.compile(r"[*\"']*(?:What|Where|Wherever|Whoever|Whatever|Nothing|Nobody)\b(?![^.?!]*\?)")
"""A sentence may not begin so, except as a question."""

MAX_SUMMARY_WORDS = 12

_BANNED = {re.compile(rf"(?<![\w/.-])(?:{words})(?![\w/-])", re.IGNORECASE): use for words, use in BANNED.items()}
_ALLOWED = re.compile("|".join(ALLOWED), re.IGNORECASE)
_CODE = re.compile(r"\"\w+\"|``[^`]*``|`[^`]*`|<[^<>\n]+>|\]\([^)]*\)|https?://\S+")
_SENTENCE = re.compile(r"[.!?:;]\)?\s+(?=[A-Z`*\"'])|\n\s*\n\s*(?:(?:[-*]|\d+\.)\s+)?|\n\s*(?:[-*]|\d+\.)\s+|\|\s*")


class Passage(NamedTuple):
    """A piece of prose.

    Attributes:
        kind: ``document``, ``docstring``, ``attribute docstring``, ``comment`` or ``message``.
    """

    file: str
    line: int
    kind: str
    text: str


def _blank(match: re.Match[str]) -> str:
    """Replace code and quoted words by a placeholder of as many lines."""
    return "x" + "\n" * match.group().count("\n")


def markdown_passages(file: str, text: str) -> Iterator[Passage]:
    """Yield the prose of a Markdown file, without code and headings."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2[^\n]*$", _blank, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", _blank, text, flags=re.DOTALL)
    yield Passage(file, 1, "document", _CODE.sub(_blank, text))


def python_passages(file: str, text: str) -> Iterator[Passage]:
    """Yield docstrings, comments and all other strings, of which single words count as code."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings: set[int] = set()
    seen: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr):
            docstrings.add(id(node.body[0]))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            seen.add(id(node.value))
            kind = "docstring" if id(node) in docstrings else "attribute docstring"
            yield Passage(file, node.lineno, kind, _CODE.sub(_blank, node.value.value))
        elif isinstance(node, ast.JoinedStr):
            seen.update(id(part) for part in node.values)
            parts = (str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
            yield Passage(file, node.lineno, "message", "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            yield Passage(file, node.lineno, "message", node.value if " " in node.value.strip() else "")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(file, token.start[0], "comment", _CODE.sub(_blank, token.string))


def find_banned_words(passage: Passage) -> Iterator[str]:
    """Yield a line for each banned word."""
    text = _ALLOWED.sub(lambda match: re.sub(r"\S", "x", match.group()), passage.text)
    for pattern, use in _BANNED.items():
        for match in pattern.finditer(text):
            line = passage.line + text.count("\n", 0, match.start())
            yield f"{passage.file}:{line}: {passage.kind}: {match.group()!r}; use {use}"


def find_banned_starts(passage: Passage) -> Iterator[str]:
    """Yield a line for each sentence that begins with a relative clause or a negative subject."""
    if passage.kind in ("comment", "message"):
        return
    text = re.sub(r"^#.*$", "", passage.text, flags=re.MULTILINE) if passage.kind == "document" else passage.text
    starts = [0, *(match.end() for match in _SENTENCE.finditer(text))]
    for start in starts:
        if match := START.match(text, start):
            line = passage.line + text.count("\n", 0, start)
            yield f"{passage.file}:{line}: {passage.kind}: sentence starts with {match.group()!r}; use its subject"


def find_long_summaries(passage: Passage) -> Iterator[str]:
    """Yield a line if a docstring's first sentence is too long."""
    if passage.kind == "docstring":
        summary = re.split(r"[.:;](?:\s|$)|\n\s*\n", passage.text.strip(), maxsplit=1)[0]
        if (count := len(summary.split())) > MAX_SUMMARY_WORDS:
            yield f"{passage.file}:{passage.line}: summary of {count} words; at most {MAX_SUMMARY_WORDS}"


def documents() -> list[Path]:
    """Return the Markdown files that users and contributors read."""
    named = [ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "ARCHITECTURE", "CONTRIBUTING")]
    measured = [ROOT / "benchmarks/RESULTS.md", ROOT / "samples/README.md"]
    return [*named, *measured, *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    """All prose of the documents and of the package."""
    read = [(markdown_passages, path) for path in documents()]
    read += [(python_passages, path) for path in sorted((ROOT / "streamcam").rglob("*.py"))]
    return [passage for of, path in read for passage in of(str(path.relative_to(ROOT)), path.read_text())]


def report(problems: list[str]) -> str:
    return f"{len(problems)} problems\n" + "\n".join(problems)


def test_words(passages: list[Passage]) -> None:
    problems = [problem for passage in passages for problem in find_banned_words(passage)]
    assert not problems, report(problems)


def test_sentence_starts(passages: list[Passage]) -> None:
    problems = [problem for passage in passages for problem in find_banned_starts(passage)]
    assert not problems, report(problems)


def test_summaries_are_short(passages: list[Passage]) -> None:
    problems = [problem for passage in passages for problem in find_long_summaries(passage)]
    assert not problems, report(problems)


SAMPLE = '''"""What is told here; `picture` is code, an I-picture is a term."""

# The processor does it.
def f(x):
    """Return one two three four five six seven eight nine ten eleven twelve thirteen. Nobody reads it."""
    raise ValueError(f"the picture {x} is left out") if x else KeyError("look at it")
'''


def test_the_checks_find_what_they_are_for() -> None:
    passages = list(python_passages("f.py", SAMPLE))
    words = {problem.rpartition("; use ")[0] for passage in passages for problem in find_banned_words(passage)}
    assert words == {
        "f.py:1: docstring: 'told'",
        "f.py:3: comment: 'The processor'",
        "f.py:5: docstring: 'Nobody'",
        "f.py:6: message: 'picture'",
        "f.py:6: message: 'left out'",
        "f.py:6: message: 'look at'",
    }
    starts = [problem.partition(";")[0] for passage in passages for problem in find_banned_starts(passage)]
    assert starts == [
        "f.py:1: docstring: sentence starts with 'What'",
        "f.py:5: docstring: sentence starts with 'Nobody'",
    ]
    (long,) = [problem for passage in passages for problem in find_long_summaries(passage)]
    assert long == "f.py:5: summary of 14 words; at most 12"
    text = "# What it does\n\nWhat is a frame? An image.\n\n```\nWhat a picture\n```\n- Where it is, it is."
    (page,) = markdown_passages("f.md", text)
    assert not list(find_banned_words(page))
    assert [problem.partition(" sent")[0] for problem in find_banned_starts(page)] == ["f.md:8: document:"]
