"""Whether the files of a record's chunks are as they were written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..notes import get_logger
from .manifest import ChunkEntry, Manifest

logger = get_logger(__name__)


def drop_damaged_chunks(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest with the chunks whose files are whole.

    If one is not, neither the record nor the output is complete.

    Args:
        manifest: of the record.
        folder: of the record.
    """
    whole = []
    for entry in manifest.chunks:
        if name := next(_damaged_files(entry, folder), ""):
            logger.warning("%s is missing or damaged: its chunk is recorded again", folder / name)
            if manifest.plan is None:  # without a plan, no chunk after it can be continued
                break
        else:
            whole.append(entry)
    if len(whole) == len(manifest.chunks):
        return manifest
    return replace(manifest, chunks=tuple(whole), complete=False, output=None, output_file=None)


def _damaged_files(entry: ChunkEntry, folder: Path) -> Iterator[str]:
    files = {
        entry.frames_file: (entry.frames_bytes, entry.frames_sha256),
        entry.maps_file: (entry.maps_bytes, entry.maps_sha256),
    }
    for name, (size, sha256) in files.items():
        try:
            with (folder / name).open("rb") as file:
                is_whole = os.fstat(file.fileno()).st_size == size
                is_whole = is_whole and hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            is_whole = False
        if not is_whole:
            yield name
