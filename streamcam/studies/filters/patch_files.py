"""The files of ``--patches``."""

from __future__ import annotations

from pathlib import Path

from ...errors import SourceError
from ...options import SourceOptions
from ...sources import open_source

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif")


def patch_files(path: str) -> list[str]:
    """Return the images of a folder and its subfolders, or the file itself.

    Raises:
        SourceError: the folder has no images.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [path]
    files = [str(file) for file in sorted(folder.rglob("*")) if file.suffix.lower() in _SUFFIXES]
    if not files:
        raise SourceError(f"no images in the folder {path}", expected=f"files with {', '.join(_SUFFIXES)}")
    return files


def check_patches(path: str) -> None:
    """Check that the first file of ``--patches`` can be read.

    Raises:
        SourceError: it cannot.
    """
    with open_source(SourceOptions(url=patch_files(path)[0])):
        pass
