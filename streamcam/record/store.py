"""The chunks of a record on the disk: packed, stored in any order, and entered in the manifest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import SinkError
from .folder import MANIFEST, RecordFolder, write_error
from .manifest import ChunkEntry, Manifest
from .rows import StoredFrame, encode_chunk


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """The files of a chunk, in memory.

    Attributes:
        entry: of the chunk in the manifest.
        table: of its frames, as JSON lines.
        maps: an array in NumPy's format.
    """

    entry: ChunkEntry
    table: bytes = field(repr=False)
    maps: bytes = field(repr=False)


def pack_chunk(number: int, frames: Sequence[StoredFrame], manifest: Manifest) -> PackedChunk:
    """Return the files of a chunk.

    Args:
        number: of the chunk.
        frames: at least one, in order.
        manifest: of the record; its chunks do not matter.
    """
    table, maps = encode_chunk(frames, manifest.time_base, manifest.geometry, manifest.map_kind)
    with io.BytesIO() as file:
        np.save(file, maps, allow_pickle=False)
        array = file.getvalue()
    entry = ChunkEntry(
        number=number,
        num_frames=len(frames),
        num_maps=len(maps),
        first_index=frames[0].frame.index,
        pts=(frames[0].frame.pts, frames[-1].frame.pts),
        frames_bytes=len(table),
        maps_bytes=len(array),
        frames_sha256=hashlib.sha256(table).hexdigest(),
        maps_sha256=hashlib.sha256(array).hexdigest(),
    )
    return PackedChunk(entry, table, array)


class RecordStore:
    """Stores packed chunks in the folder of a record, in any order.

    Not safe to use from two threads at once.

    Args:
        folder: of the record; checked before, and created with the first chunk. The caller closes it.
        manifest: of the record, with the chunks that are kept if there is a record already.

    Attributes:
        manifest: of the record, with the chunks stored so far.
    """

    def __init__(self, folder: RecordFolder, manifest: Manifest) -> None:
        self._folder = folder
        self.manifest = manifest
        self.is_reserved = False

    @property
    def num_frames(self) -> int:
        """Frames in whole chunks on the disk, from the first chunk on."""
        return sum(one.num_frames for one in self.manifest.prefix)

    def reserve(self, kept: Collection[str] = ()) -> None:
        """Create and lock the folder; remove what is in it and not in the manifest.

        Args:
            kept: names of further files to keep.

        Raises:
            SinkError: see `RecordFolder.reserve`; or it cannot be created.
        """
        if self.is_reserved:
            return
        chunk_files = [name for one in self.manifest.chunks for name in (one.frames_file, one.maps_file)]
        try:
            self._folder.reserve([*chunk_files, *kept])
        except OSError as error:
            raise write_error(self._folder.path, error, self.num_frames) from error
        self.is_reserved = True

    def add(self, chunk: PackedChunk) -> None:
        """Store a chunk; its files are durable before the manifest names them.

        Raises:
            SinkError: it cannot be written; the chunks before are kept.
        """
        self.reserve()
        entry = chunk.entry
        try:
            self._folder.write(entry.maps_file, chunk.maps)
            self._folder.write(entry.frames_file, chunk.table)
            self._folder.write(MANIFEST, (manifest := self.manifest.with_chunk(entry)).to_json())
        except OSError as error:
            self._folder.remove(entry.maps_file)
            self._folder.remove(entry.frames_file)
            raise self._error(error) from error
        self.manifest = manifest

    def drop_plan(self) -> None:
        """Forget the plan: the frames are not the planned ones."""
        self.manifest = replace(self.manifest, plan=None)

    def complete(self) -> None:
        """Mark the record as complete: the source was read to its end.

        Raises:
            SinkError: the manifest cannot be written.
        """
        self._replace(replace(self.manifest, complete=True))

    def finish(self, output: str, file: Mapping[str, Any] | None = None) -> None:
        """Mark the output as complete.

        Args:
            output: its name.
            file: its size and hashes; see `Manifest`.

        Raises:
            SinkError: the manifest cannot be written.
        """
        self._replace(replace(self.manifest, output=output, output_file=file))

    def save(self) -> None:
        """Write the manifest: the chunks and the output that it had before are no longer whole.

        Raises:
            SinkError: it cannot be written.
        """
        self._replace(self.manifest)

    def _replace(self, manifest: Manifest) -> None:
        try:
            self._folder.write(MANIFEST, manifest.to_json())
        except OSError as error:
            raise self._error(error) from error
        self.manifest = manifest

    def _error(self, error: OSError) -> SinkError:
        return write_error(self._folder.path, error, self.num_frames)
