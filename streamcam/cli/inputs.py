"""Inputs and outputs from the arguments of a command."""

from __future__ import annotations

import glob
import os
from collections import Counter
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ..errors import OptionError, SourceError

VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "avi", "flv", "gif", "m2ts", "m4v", "mjpeg", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf"),
        *("ogv", "ts", "vob", "webm", "webp", "wmv", "y4m"),
    )
)
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"))


def is_url(text: str) -> bool:
    """Return whether a text is ``scheme://…``."""
    scheme, found, _ = text.partition("://")
    return bool(found) and scheme.isalnum()


def names_input(text: str) -> bool:
    """Return True for text that an input has.

    That is a URL, a pattern, an existing file, or a folder of files; but not a new folder or a record.
    """
    path = Path(text)
    if os.path.isdir(text):  # False for a name that is too long
        return any(path.iterdir()) and not (path / "manifest.json").is_file()
    return is_url(text) or glob.has_magic(text) or os.path.exists(text)


def names_missing_input(text: str) -> bool:
    """Return True for a name of a missing video or image."""
    return Path(text).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES and not os.path.exists(text)


def expand_inputs(arguments: list[str], methods: list[str]) -> list[str]:
    """Expand files, globs, folders and URLs to unique inputs, in order.

    A folder expands to its videos and images, sorted, without the files that streamcam itself wrote there
    (``name.METHOD.mp4``).

    Raises:
        SourceError: a folder or pattern without videos and images.
    """
    found: list[str] = []
    for argument in arguments:
        if not argument:
            raise OptionError("an INPUT is empty", expected="a file, folder, glob or URL")
        path = Path(argument)
        if is_url(argument):
            found.append(argument)
        elif path.is_dir():
            inside = [
                p for p in sorted(path.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES and p.is_file()
            ]
            own_outputs = [p for p in inside if p.stem.rpartition(".")[2] in methods]
            if len(own_outputs) == len(inside):
                raise SourceError(f"no videos or images in folder {argument}")
            found.extend(str(p) for p in inside if p not in own_outputs)
        elif not path.exists() and glob.has_magic(argument):
            matches = sorted(m for m in glob.glob(argument, recursive=True) if Path(m).is_file())
            if not matches:
                raise SourceError(f"nothing matches {argument}")
            found.extend(matches)
        else:
            found.append(argument)
    return list(dict.fromkeys(found))


def parse_key_values(option: str, texts: list[str] | None) -> dict[str, str]:
    """Parse ``NAME=VALUE`` … to a dictionary."""
    values = {}
    for text in texts or ():
        name, found, value = text.partition("=")
        if not (name and found):
            raise OptionError(f"invalid {option} {text!r}", expected="NAME=VALUE")
        values[name] = value
    return values


def output_paths(inputs: list[str], output: str | None, method: str) -> list[Path]:
    """Return the output path of each input.

    ``output`` is a file for one input, and a folder for several or if it ends with a slash; without it outputs go to
    the working directory as ``<stem>.<method>.mp4`` (``.png`` for images). Inputs with the same stem keep their suffix
    in the name.

    Raises:
        OptionError: several inputs and one output file, or one name for two outputs.
    """
    folder = Path()
    if output is not None:
        if Path(output).is_dir() or output.endswith("/"):
            folder = Path(output)
        elif len(inputs) == 1:
            return [Path(output)]
        else:
            raise OptionError(
                f"--output {output} is one file for {len(inputs)} inputs",
                expected="a folder (end it with a slash to create it), or one input",
            )
    names = [_name(text) for text in inputs]
    stems = Counter((name.stem, name.suffix.lower() in IMAGE_SUFFIXES) for name in names)
    results = []
    for name in names:
        image = name.suffix.lower() in IMAGE_SUFFIXES
        stem = name.stem if stems[name.stem, image] == 1 else name.name
        results.append(folder / f"{stem}.{method}{'.png' if image else '.mp4'}")
    for path, times in Counter(results).items():
        if times > 1:
            raise OptionError(f"{times} inputs have the same output {path}", hint="process them in separate runs")
    return results


def _name(text: str) -> PurePosixPath | Path:
    if is_url(text):
        parts = urlsplit(text)
        return PurePosixPath(unquote(parts.path).strip("/") or parts.hostname or "stream")
    return Path(text)
