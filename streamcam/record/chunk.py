"""A chunk of a record, checked when it is read."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StreamcamError
from .manifest import ChunkEntry
from .rows import RecordedFrame, StoredMaps, decode_rows


class Chunk:
    """Consecutive frames of a record.

    Args:
        folder: of the record.
        entry: of the chunk in the manifest.
        num_targets: of the record.

    Attributes:
        entry: of the chunk in the manifest.
    """

    def __init__(self, folder: Path, entry: ChunkEntry, num_targets: int) -> None:
        self.entry = entry
        self._folder = folder
        self._num_targets = num_targets
        for name, size in ((entry.frames_file, entry.frames_bytes), (entry.maps_file, entry.maps_bytes)):
            try:
                found = (folder / name).stat().st_size
            except OSError:
                raise StreamcamError(
                    f"the record {folder} is incomplete: {name} is missing", hint="record it again"
                ) from None
            if found != size:
                raise self._damaged(name)

    @functools.cached_property
    def maps(self) -> StoredMaps:
        """The stored maps, memory-mapped: float16 ``(maps, targets, h, w)``, each divided by its row's ``scale``.

        The first use reads the whole file, to compare its hash.

        Raises:
            StreamcamError: the file is damaged.
        """
        try:
            path = self._folder / self.entry.maps_file
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            maps: StoredMaps = np.load(path, mmap_mode="r", allow_pickle=False)
            is_same = digest == self.entry.maps_sha256 and maps.shape[:2] == self._shape
            if is_same and maps.dtype == np.float16 and maps.ndim == 4:
                return maps
        except (ValueError, OSError, EOFError):
            pass
        raise self._damaged(self.entry.maps_file)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table: one for each target of each frame.

        Raises:
            StreamcamError: the file is damaged.
        """
        try:
            return [json.loads(line) for line in self._table().splitlines()]
        except ValueError:
            raise self._damaged(self.entry.frames_file) from None

    def check_table(self) -> None:
        """Check that the table is whole; its rows are not parsed.

        Raises:
            StreamcamError: the file is damaged.
        """
        self._table()

    def _table(self) -> bytes:
        with contextlib.suppress(OSError):
            text = (self._folder / self.entry.frames_file).read_bytes()
            if (
                hashlib.sha256(text).hexdigest() == self.entry.frames_sha256
                and text.count(b"\n") == self.entry.num_frames * self._num_targets
            ):
                return text
        raise self._damaged(self.entry.frames_file)

    def frames(self) -> list[RecordedFrame]:
        """Return the frames, with raw maps as float32.

        Raises:
            StreamcamError: the chunk is damaged.
        """
        try:
            return decode_rows(self.rows(), self.maps, self._num_targets)
        except (ValueError, KeyError, TypeError, IndexError):
            raise self._damaged(self.entry.frames_file) from None

    @property
    def _shape(self) -> tuple[int, int]:
        return self.entry.num_maps, self._num_targets

    def _damaged(self, name: str) -> StreamcamError:
        return StreamcamError(f"the record {self._folder} is damaged: {name}", hint="record it again")
