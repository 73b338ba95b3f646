"""The hash of a model's files: which weights computed a map."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ..imports import expand_path
from ..options import DEFAULT_MODEL

_EMBEDDED = Path(__file__).parent / "data" / "efficientnet_lite0.npz"


def hash_model(model: Any) -> str | None:
    """Return the SHA-256 of a model's files, in hexadecimal digits.

    A folder counts with the names and contents of all its files. The embedded model has the hash of its weights.

    Args:
        model: as in `streamcam.options.ModelOptions`.

    Returns:
        None for a model that has no file of its own: a name, a function or a Python object.
    """
    if not isinstance(model, (str, os.PathLike)):
        return None
    name = os.fspath(model)
    path = _EMBEDDED if name == DEFAULT_MODEL else expand_path(name)
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return _hash_folder(path) if path.is_dir() else None
    except OSError:
        return None


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
