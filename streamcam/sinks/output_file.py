"""The file of a sink on the disk: reserved, locked, and checked at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from ..concurrency.file_lock import lock_file
from ..errors import SinkError

_MAX_ATTEMPTS = 100
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a pipe that took the name does not block


class OutputFile:
    """Own the name of an output while it is written.

    A new file is created exclusively: a file that appeared after the first check is never replaced. A lock on the file
    refuses other runs while it is written; it ends with the process, however that ends.

    Args:
        path: of the output.
        overwrite: an existing file may be replaced.
        option: that names the file, for messages.
    """

    def __init__(self, path: Path, *, overwrite: bool, option: str = "-o") -> None:
        self._name = path
        self._overwrite, self._option = overwrite, option
        self._descriptor: int | None = None
        self._created = False
        self.path = path

    def reserve(self) -> Path:
        """Create the file, or lock the existing one; return the path to write to.

        The path leads to the end of symbolic links.

        Raises:
            SinkError: the file exists and may not be replaced, or another run writes it.
            OSError: the file cannot be created.
        """
        self.path = Path(os.path.realpath(self._name))
        for _ in range(_MAX_ATTEMPTS):
            descriptor = self._open()
            try:
                if descriptor is not None:
                    lock_file(descriptor, self._name)
                # Another run may have completed its file, and put a copy into its place, before the lock.
                if descriptor is not None and self._is_in_place(descriptor):
                    self._descriptor, descriptor = descriptor, None
                    return self.path
            finally:
                if descriptor is not None:
                    os.close(descriptor)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def check_in_place(self) -> None:
        """Check that the name still leads to this file.

        Raises:
            SinkError: the file was removed, renamed or replaced meanwhile.
        """
        if self._descriptor is not None and not self._is_in_place(self._descriptor):
            raise SinkError(
                f"{self._name} was removed or replaced by another program while it was written", hint="run it again"
            )

    def replace(self, source: Path, target: Path) -> None:
        """Put a complete copy into the place of this file.

        Args:
            source: the copy.
            target: the path of this file.

        Raises:
            SinkError: see `check_in_place`.
            OSError: the copy cannot be renamed.
        """
        self.check_in_place()
        descriptor = os.open(source, os.O_RDONLY)
        try:
            lock_file(descriptor, self._name)
            os.replace(source, target)
        except BaseException:
            os.close(descriptor)
            raise
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = descriptor

    def discard(self) -> None:
        """Remove the file, unless another one has taken its name."""
        if self._descriptor is not None and self._is_in_place(self._descriptor):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock the file; remove it if it was created here and is still empty."""
        if self._descriptor is None:
            return
        if self._created and os.fstat(self._descriptor).st_size == 0:
            self.discard()
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int | None:
        """Open the file; None if it vanished in between."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            self._created = True
        except FileExistsError:
            if not self._overwrite:
                raise exists_error(self._name, self._option) from None
            self._created = False
            with contextlib.suppress(FileNotFoundError):
                return os.open(self.path, os.O_RDONLY | _NONBLOCK)
            return None
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except OSError:
            return False


def sync_output(path: Path) -> None:
    """Wait until a complete output and its name are on the disk: a power cut does not lose them.

    Raises:
        SinkError: the disk reports an error.
    """
    path = Path(os.path.realpath(path))
    if not path.is_file():
        return
    try:
        _sync(path)
        with contextlib.suppress(PermissionError):  # Windows opens no folders, and a folder may not be readable
            _sync(path.parent)
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_replaceable(path: Path) -> None:
    """Check that an existing file may be written over.

    Raises:
        SinkError: it is a device or a pipe, or another run is writing it.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise SinkError(f"{path} is a device or a pipe", expected="a file name")
    with contextlib.suppress(OSError), path.open("rb") as file:
        lock_file(file.fileno(), path)


def exists_error(path: Path, option: str) -> SinkError:
    """Return the error of an output that exists already."""
    return SinkError(
        f"{path} exists already", hint=f"use --overwrite to replace it, or choose another name with {option}"
    )
