"""Inputs and outputs in object stores, by fsspec: ``s3://``, ``gs://``, ``abfs://`` …"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import SinkError, SourceError, StreamcamError, error_summary, redact_url

_OWN_SCHEMES = ("", "file", "http", "https", "rtsp", "rtsps", "rtmp", "lavfi")
"""Schemes that streamcam reads itself."""

_INSTALL = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


def is_remote(url: str) -> bool:
    """Return True for a URL that fsspec opens."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.lower() not in _OWN_SCHEMES


def file_name(url: str) -> str:
    """Return the last part of a URL."""
    return PurePosixPath(url.partition("://")[2]).name


def fetch(url: str, folder: Path) -> Path:
    """Copy a remote file into a folder, in pieces; return its path.

    The copy is whole or absent. One of the same size is kept.

    Raises:
        SourceError: it cannot be read.
    """
    with _translated(url, SourceError, "read"):
        system, path = _open(url)
        local = folder / (file_name(url) or "input")
        if not (local.is_file() and local.stat().st_size == system.size(path)):
            part = local.with_name(f"{local.name}.part")
            system.get_file(path, str(part))
            part.replace(local)
    return local


def upload(path: Path, url: str) -> None:
    """Copy a local file to a URL, in pieces.

    Raises:
        SinkError: it cannot be written; the local file stays.
    """
    with _translated(url, SinkError, "written", hint=f"{path} is complete: copy it yourself"):
        system, target = _open(url)
        system.put_file(str(path), target)


def check_writable(url: str, *, overwrite: bool) -> None:
    """Check that a file can be created at a URL.

    Another one is created beside it, and removed.

    Raises:
        SinkError: it exists, the bucket does not, or may not be written.
    """
    with _translated(url, SinkError, "written"):
        system, target = _open(url)
        if not overwrite and system.exists(target):
            raise SinkError(f"{redact_url(url)} exists already", hint="use --overwrite to replace it")
        probe = f"{target}.streamcam-test"
        system.pipe_file(probe, b"streamcam")
        system.rm_file(probe)


def _open(url: str) -> tuple[Any, str]:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    return system, str(path)


@contextlib.contextmanager
def _translated(url: str, kind: type[StreamcamError], verb: str, *, hint: str = "") -> Iterator[None]:
    """Turn the errors of fsspec and of the stores into one line."""
    name, scheme = redact_url(url), url.partition("://")[0].lower()
    try:
        yield
    except StreamcamError:
        raise
    except ImportError as error:
        package = _INSTALL.get(scheme, "fsspec" if error.name == "fsspec" else error.name or "its package")
        raise kind(f"{scheme}:// needs {package}, which is not installed", hint=f"pip install {package}") from error
    except FileNotFoundError as error:
        raise kind(f"{name} does not exist", hint=hint) from error
    except Exception as error:
        raise kind(f"{name} cannot be {verb}: {error_summary(error)}", hint=hint) from error
