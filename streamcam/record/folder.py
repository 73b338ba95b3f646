"""The folder of a record: created, locked, and its files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path

from ..concurrency.file_lock import lock_file
from ..errors import SinkError

MANIFEST = "manifest.json"

FORMAT = "streamcam-record"
"""The value of ``format`` in a manifest."""

_OPTION = "--record"
_OWN_FILE = re.compile(
    r"\.?(?:manifest\.json|(?:frames|maps|segment)-\d{4,}\.(?:jsonl|npy|bin))(?:\.[0-9a-f]{16}\.part)?"
)
"""Names of the files of a record, and of those in writing. No other file is ever removed."""

_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_IS_POSIX = os.name == "posix"


class RecordFolder:
    """Own the folder of a record while it is written.

    A lock on the folder refuses other runs; it ends with the process. All files are created through the open folder,
    under unused names, and renamed: no link is followed, and a file is whole or absent.

    Args:
        path: of the folder.
        overwrite: a record there may be replaced.
        resume: a record there may be continued.
    """

    def __init__(self, path: Path, *, overwrite: bool, resume: bool = False) -> None:
        self.path = path
        self._overwrite, self._resume = overwrite, resume
        self._descriptor: int | None = None
        self._created = False

    def check(self) -> None:
        """Check that a record can be written here.

        Raises:
            SinkError: the folder cannot be created, or what is there may not be replaced.
        """
        inside = next((one for one in self.path.absolute().parents if is_record(one)), None)
        if inside is not None:
            raise SinkError(f"{self.path} is within the record {inside}", hint=_OTHER_NAME)
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            self._check_parent()
            return
        except OSError as error:
            raise SinkError(f"{self.path} cannot be written: {error.strerror}", hint=_OTHER_NAME) from error
        if stat.S_ISLNK(status.st_mode):
            raise SinkError(f"{self.path} is a symbolic link", expected="a folder", hint=_OTHER_NAME)
        if not stat.S_ISDIR(status.st_mode):
            raise _file_error(self.path)
        if not self._overwrite and not self._resume:
            raise SinkError(
                f"{self.path} exists already",
                hint=f"use --overwrite to replace it, or choose another name with {_OPTION}",
            )
        names = {one.name for one in self.path.iterdir()}
        if self._resume:  # a run that was killed before its first chunk leaves files of its own only
            names -= {*filter(_OWN_FILE.fullmatch, names)} - {MANIFEST}
        if names and not is_record(self.path):
            raise SinkError(f"{self.path} is a folder without a record", hint=_OTHER_NAME)

    def _check_parent(self) -> None:
        parent = self.path.parent
        if not parent.is_dir():
            raise SinkError(f"the folder {parent} does not exist", hint="create it first")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise SinkError(f"the folder {parent} cannot be written to", hint=_OTHER_NAME)

    def lock(self) -> None:
        """Lock the folder, which is there; nothing is done if it is locked by this object.

        Raises:
            SinkError: another run writes it.
            OSError: it cannot be opened.
        """
        if _IS_POSIX and self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            lock_file(self._descriptor, self.path)

    def reserve(self, kept: Collection[str] = ()) -> None:
        """Create and lock the folder; remove the record in it.

        Args:
            kept: names of files of the record to keep, with its manifest.

        Raises:
            SinkError: see `check`; or another run writes it.
            OSError: it cannot be created.
        """
        try:
            self.path.mkdir()
            self._created = True
        except FileExistsError:
            self.check()
        self.lock()
        # The manifest goes first: without it, the others are no record.
        names = os.listdir(self.path if self._descriptor is None else self._descriptor)
        stale = {*filter(_OWN_FILE.fullmatch, names)} - ({MANIFEST, *kept} if kept else set())
        for name in sorted(stale, key=lambda name: name != MANIFEST):
            self.remove(name)

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file, durably and whole, or leave the one before it.

        Raises:
            OSError: it cannot be written.
        """
        part = f".{name}.{secrets.token_hex(8)}.part"
        # The mode is that of any new file: the user's umask applies.
        descriptor = os.open(self._at(part), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._at(part), self._at(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except BaseException:
            self.remove(part)
            raise
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def check_in_place(self) -> None:
        """Check that the name still leads to this folder.

        Raises:
            SinkError: it was removed, renamed or replaced meanwhile.
        """
        if self._is_in_place():
            return
        raise SinkError(
            f"{self.path} was removed or replaced by another program while it was written", hint="run it again"
        )

    def close(self) -> None:
        """Unlock the folder; remove it if it was created here and is still empty."""
        if self._created and self._is_in_place():
            with contextlib.suppress(OSError):
                self.path.rmdir()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_in_place(self) -> bool:
        if self._descriptor is None:
            return True
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._descriptor))
        except OSError:
            return False

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self.path / name)


_OTHER_NAME = f"choose another name with {_OPTION}"


def is_record(path: Path) -> bool:
    """Return True if a folder holds a record.

    Another program's file may have the name of the manifest.
    """
    try:
        return f'"{FORMAT}"'.encode() in (path / MANIFEST).read_bytes()
    except OSError:
        return False


def create_folder(path: Path) -> None:
    """Create a folder for several records, with those above it; it may exist.

    Raises:
        SinkError: there is a file.
        OSError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _file_error(next(one for one in (path, *path.parents) if one.exists())) from None


def _file_error(path: Path) -> SinkError:
    return SinkError(f"{path} is a file", expected="a folder", hint=_OTHER_NAME)


def temporary_folder(output: Path, stack: contextlib.ExitStack) -> Path:
    """Create a folder beside an output, locked; the end of the stack removes it.

    Those that killed runs of the same output have left are removed now.

    Raises:
        OSError: it cannot be created.
    """
    prefix = f".streamcam-{output.name}-"
    for stale in [one for one in output.parent.iterdir() if one.name.startswith(prefix)] if _IS_POSIX else ():
        with contextlib.suppress(OSError, SinkError):
            descriptor = os.open(stale, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                lock_file(descriptor, stale)
                shutil.rmtree(stale)
            finally:
                os.close(descriptor)
    folder = tempfile.TemporaryDirectory(prefix=prefix, dir=output.parent, ignore_cleanup_errors=True)
    path = Path(stack.enter_context(folder))
    if _IS_POSIX:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, descriptor)
        lock_file(descriptor, path)
    return path


def write_error(path: Path, error: OSError, num_frames: int) -> SinkError:
    """Return the error of a failed write.

    Args:
        path: of the folder.
        error: of the operating system.
        num_frames: frames of the record that is left.
    """
    kept = f"its first {num_frames} frames are kept" if num_frames > 1 else "no frame is kept"
    kept = "one frame is kept" if num_frames == 1 else kept
    if error.errno in _DISK_FULL_ERRORS:
        return SinkError(f"no space left for {path}; {kept}", hint="free some space")
    return SinkError(f"{path} cannot be written: {error.strerror or error}; {kept}")
