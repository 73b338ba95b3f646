"""Fingerprint the dependencies of a cache entry as JSON.

They are values, the files that values name, code, software and hardware.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import OptionError
from ...imports import expand_path, is_function_path
from ...job import options_to_dict
from ...tf import tf
from .devices import default_intra_op_threads

_SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a SavedModel."""

_HASHED_VARIABLES = ("TF_", "ONEDNN_", "KERAS_")
"""Prefixes of environment variables that change results."""

HASHED_PACKAGES = ("engine", "methods", "models", "gpu", "media", "tf.py", "imports.py")
"""Parts of this package whose code changes results."""


class NotCacheableError(Exception):
    """A value that cannot be recognised in a later run."""


def fingerprint_value(value: Any) -> Any:
    """Return a value as JSON, with size and change time of files."""
    if is_dataclass(value) and not isinstance(value, type):
        try:
            return fingerprint_value(options_to_dict(value))
        except OptionError:
            raise NotCacheableError from None
    if isinstance(value, Mapping):
        return {str(name): fingerprint_value(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [fingerprint_value(one) for one in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, (str, os.PathLike)) or is_function_path(os.fspath(value).strip()):
        raise NotCacheableError
    text = os.fspath(value)
    if not text:
        return text
    path = expand_path(text)
    try:
        if path.is_file():
            return [str(path.resolve()), _stat_fingerprint(path)]
        if (path / _SAVED_MODEL).is_file():
            folders = sorted(os.walk(path, followlinks=True))
            return [
                str(path.resolve()),
                [_stat_fingerprint(Path(folder, name)) for folder, _, names in folders for name in sorted(names)],
            ]
    except OSError:
        raise NotCacheableError from None
    return text


def _stat_fingerprint(path: Path) -> tuple[str, int, int, int, int]:
    found = path.stat()
    # The change time and the inode distinguish files that were copied together with their times.
    return str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def fingerprint_environment() -> dict[str, Any]:
    """Return everything else that a compiled method depends on: code, TensorFlow and hardware."""
    root = Path(__file__).resolve().parents[2]
    code = [
        _stat_fingerprint(path)
        for package in HASHED_PACKAGES
        for path in ([root / package] if package.endswith(".py") else sorted((root / package).rglob("*")))
        if path.is_file()
    ]
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "code": [one for one in code if not one[0].endswith(".pyc")],
        "versions": [tf.__version__, version("keras")],
        "cpu": _cpu_fingerprint(),
        "threads": default_intra_op_threads(),
        "gpus": [{name: str(value) for name, value in sorted(gpu.items())} for gpu in gpus],
        "environment": {name: v for name, v in sorted(os.environ.items()) if name.startswith(_HASHED_VARIABLES)},
    }


def _cpu_fingerprint() -> list[str]:
    with contextlib.suppress(OSError):
        fields = ("model name", "flags", "cpu family", "model")
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        return [line for line in lines if line.partition("\t")[0].strip() in fields]
    return [platform.machine(), platform.processor()]
