"""Check output paths, create temporary files, and write files whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..errors import SinkError
from .output_file import OutputFile, check_replaceable, exists_error


def check_not_input(path: Path, inputs: Iterable[str], option: str) -> None:
    """Check that a file is not also an input, compared by inode.

    Args:
        path: of the file.
        inputs: paths and URLs of the inputs.
        option: that names the file, for messages.

    Raises:
        SinkError: it is one of them.
    """
    for input_name in inputs:
        with contextlib.suppress(OSError, ValueError):
            if os.path.samefile(input_name, path):
                raise SinkError(f"{path} is the input itself", hint=f"choose another name with {option}")


def check_output_path(path: Path, *, overwrite: bool, option: str = "-o", inputs: Iterable[str] = ()) -> None:
    """Check that a file can be created and is no input.

    Raises:
        SinkError: it is an input, a folder, a device, exists already, is being written by another run, or its folder is
            missing or cannot be written to.
    """
    check_not_input(path, inputs, option)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror}", hint=f"choose another name with {option}"
        ) from error
    if path.is_dir():
        raise SinkError(f"{path} is a folder", expected="a file name")
    if path.exists():
        if not overwrite:
            raise exists_error(path, option)
        check_replaceable(path)
    check_directory(path.parent, option)


def check_directory(directory: Path, option: str) -> None:
    """Check that files can be created in a folder.

    Raises:
        SinkError: it is missing, or cannot be written to.
    """
    if not directory.is_dir():
        raise SinkError(f"the folder {directory} does not exist", hint="create it first")
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise SinkError(
            f"the folder {directory} cannot be written to: {error.strerror}", hint=f"choose another one with {option}"
        ) from error


@contextlib.contextmanager
def temporary_copy(path: Path) -> Iterator[IO[bytes]]:
    """Create a file that will take the place of an existing one.

    It stands in the same folder under an unused name, which is created exclusively: no link or file of another user is
    written through. It has the permissions of the existing file. It is removed at the end unless it was renamed; close
    it before that.

    Args:
        path: of the existing file.

    Raises:
        OSError: it cannot be created.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".streamcam-", delete=False) as file:
        try:
            shutil.copymode(path, file.name)
            yield file
        finally:
            file.close()
            Path(file.name).unlink(missing_ok=True)


def write_file(data: bytes, path: Path, *, overwrite: bool, option: str = "-o") -> None:
    """Write a file completely or not at all: an existing one stays whole.

    Args:
        data: the content.
        path: of the file.
        overwrite: an existing file may be replaced.
        option: that names the file, for messages.

    Raises:
        SinkError: the file exists, or another run writes it.
        OSError: it cannot be written.
    """
    output = OutputFile(path, overwrite=overwrite, option=option)
    try:
        target = output.reserve()
        with temporary_copy(target) as part:
            part.write(data)
            part.close()
            output.replace(Path(part.name), target)
    finally:
        output.close()
