"""Quality of the files of a folder, by CleanVision: blur, darkness, near-duplicates.

CleanVision is an optional package: ``pip install 'streamcam[cleanvision]'``.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from ...errors import OptionError, StreamcamError, count_of, describe_error
from .evidence import Fault, FaultName

_ISSUES: dict[str, tuple[FaultName, str]] = {
    "dark": ("dark", "too dark"),
    "light": ("bright", "too bright"),
    "blurry": ("blurry", "blurry"),
    "odd_size": ("odd-size", "far larger or smaller than the others"),
    "low_information": ("low-information", "with hardly any content"),
    "grayscale": ("gray-in-color", "gray, though others have color"),
    "near_duplicates": ("duplicate", "nearly the same as another"),
}
"""Fault and words of each issue of CleanVision."""

_MAX_GRAY_SHARE = 0.5
"""Gray images count only if they are the exception."""


def find_issues(folder: Path) -> list[Fault]:
    """Search the files of a folder.

    Args:
        folder: with images, also in subfolders.

    Raises:
        OptionError: CleanVision is not installed.
        StreamcamError: it fails.
    """
    try:
        from cleanvision import Imagelab
    except ImportError:
        raise OptionError(
            "--cleanvision needs the package cleanvision", hint="pip install 'streamcam[cleanvision]'"
        ) from None
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # progress bars
            lab = Imagelab(data_path=str(folder))
            lab.find_issues({name: {} for name in _ISSUES}, n_jobs=1, verbose=False)
        issues = lab.issues
    except Exception as error:
        raise StreamcamError(f"CleanVision failed on {folder}: {describe_error(error)}") from error
    return [fault for name in _ISSUES if (fault := _fault(name, issues, folder)) is not None]


def _fault(name: str, issues: Any, folder: Path) -> Fault | None:
    column = f"is_{name}_issue"
    if column not in issues:
        return None
    files = [str(file) for file in issues.index[issues[column]]]
    if not files or (name == "grayscale" and len(files) > _MAX_GRAY_SHARE * len(issues)):
        return None
    fault, words = _ISSUES[name]
    first = Path(files[0])
    shown = first.relative_to(folder.resolve()) if first.is_relative_to(folder.resolve()) else first.name
    return Fault(
        fault, "files", f"{count_of(len(files), 'file')} {words}, such as {shown} (found by CleanVision)", len(files)
    )
