"""The folder for later runs: where it is, that it is private, that it stays small."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_cache_path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path | None:
    """Return the user's cache folder, or the value of ``STREAMCAM_CACHE``; None for ``off``."""
    configured = os.environ.get("STREAMCAM_CACHE", "")
    if configured == "off":
        return None
    return Path(configured or user_cache_path("streamcam", appauthor=False))


def folder_refusal(folder: Path) -> str:
    """Return why a folder of programs cannot be used; empty if it can, or does not exist yet."""
    try:
        status = folder.stat()
    except OSError:
        return ""
    if not belongs_to_user(status):
        return "it belongs to another user"
    if os.name == "posix" and status.st_mode & _OTHERS_WRITE:
        return "other users can write into it"
    return ""


def belongs_to_user(status: os.stat_result) -> bool:
    """Return True for a file or folder of this user; on Windows always."""
    return os.name != "posix" or status.st_uid == os.geteuid()


def remove_oldest(files: Iterable[tuple[float, int, Path]], max_bytes: int) -> None:
    """Remove the files used longest ago, until the others fit.

    Args:
        files: time of the last use, size in bytes, and path.
        max_bytes: size to keep.
    """
    files = sorted(files)
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= max_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            total -= size
