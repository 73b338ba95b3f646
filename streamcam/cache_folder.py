"""Find the folder for later runs, and check that it is private."""

from __future__ import annotations

import os
import stat
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
