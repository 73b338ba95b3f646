"""Files that only this user can have written: the storage of the compile cache.

A cached graph is a program that runs in this process, so a file counts only under three conditions. The folder
belongs to the user, and others cannot write into it. The file is a regular file of the user. It begins with an HMAC
of its name and content, whose key only the user can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar, cast

from ...cache_folder import belongs_to_user, folder_refusal

T = TypeVar("T")

KEY_FILE = "streamcam-cache.key"
"""Name of the file with the key of the digests."""

UNFINISHED_SUFFIX = ".unfinished"
"""Suffix of files in writing."""

_DIGEST = "sha256"
_DIGEST_BYTES = 32
# A FIFO would block without O_NONBLOCK. Windows has neither flag; its user folders are private by inheritance.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class PrivateFolder:
    """A folder of files with keyed digests.

    Args:
        path: the folder; `write` creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def refusal(self) -> str:
        """Return why the folder cannot be used; empty if it can, or does not exist yet."""
        return folder_refusal(self.path)

    def read(self, name: str, parse: Callable[[IO[bytes]], T]) -> T | None:
        """Return the parsed content of a file; None without a genuine one.

        A file that is damaged, has a wrong digest, or that ``parse`` rejects is deleted. One that cannot be opened
        stays, and so does anything but a regular file of the user.

        Args:
            name: name of the file.
            parse: reads the content; its file object starts at the digest, which ``zipfile`` skips.
        """
        path = self.path / name
        if self.refusal() or (file := _open_own_file(path)) is None:
            return None
        with file:
            try:
                key = self._read_key()
                if key is None or not hmac.compare_digest(file.read(_DIGEST_BYTES), _digest(key, name, file)):
                    raise ValueError("wrong digest")
                file.seek(_DIGEST_BYTES)
                found = parse(file)
            except PermissionError:
                return None
            except Exception:
                # Any exception: one wrong bit makes zipfile and its decompressors (zlib, bz2, lzma) raise errors of a
                # dozen types, and none of them is a reason to fail.
                with contextlib.suppress(OSError):
                    path.unlink()
                return None
        # The time of the last use decides what is deleted first.
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def write(self, name: str, write_content: Callable[[IO[bytes]], None]) -> None:
        """Write a file atomically.

        Args:
            name: name of the file.
            write_content: writes the content at the file object's position.

        Raises:
            OSError: the folder cannot be written, or cannot be used (`refusal`).
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if reason := self.refusal():
            raise PermissionError(reason)
        key = self._read_key() or self._make_key()
        with self._replacing(name) as file:
            file.write(bytes(_DIGEST_BYTES))
            write_content(file)
            file.seek(_DIGEST_BYTES)
            digest = _digest(key, name, file)
            file.seek(0)
            file.write(digest)

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a temporary file, then give it the name."""
        with tempfile.NamedTemporaryFile(
            dir=self.path, prefix=f"{name}.", suffix=UNFINISHED_SUFFIX, delete=False
        ) as file:  # mode 0600
            try:
                yield cast(IO[bytes], file)
                file.close()
                Path(file.name).replace(self.path / name)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _read_key(self) -> bytes | None:
        """Return the key; None without a private one."""
        file = _open_own_file(self.path / KEY_FILE)
        if file is None:
            return None
        with file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and (stat.S_IMODE(status.st_mode) & 0o077 or status.st_nlink != 1):
                return None
            key = file.read(_DIGEST_BYTES + 1)
        return key if len(key) == _DIGEST_BYTES else None

    def _make_key(self) -> bytes:
        with self._replacing(KEY_FILE) as file:
            file.write(secrets.token_bytes(_DIGEST_BYTES))
        # Of two processes that write at once, the later one wins for both.
        key = self._read_key()
        if key is None:
            raise PermissionError(f"{KEY_FILE} cannot be read")
        return key


def _open_own_file(path: Path) -> IO[bytes] | None:
    """Open a regular file of the user, never through a link; None if there is none."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and belongs_to_user(status):
        return open(descriptor, "rb")
    os.close(descriptor)
    return None


def _digest(key: bytes, name: str, file: IO[bytes]) -> bytes:
    """Return the keyed digest of a name and a content."""
    mac = hmac.new(key, name.encode() + b"\0", _DIGEST)
    hashlib.file_digest(file, lambda: mac)  # type: ignore[arg-type]
    return mac.digest()
