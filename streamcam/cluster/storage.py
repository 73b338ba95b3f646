"""The chunks of a run on the disk of the driver: records, and encoded segments until the output is complete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..begun_output import finish_output
from ..record import MANIFEST, ChunkEntry, Manifest, PackedChunk, RecordFolder, RecordStore
from ..record.folder import write_error
from ..sinks.segment_file import pack_segment, unpack_segment
from ..stored_video import segment_name
from .scale_pass import Peaks

if TYPE_CHECKING:
    from ..sinks.segments import Segment


class ChunkStorage:
    """Stores records and segments.

    The files are those of a run on one machine: either may continue the other.

    Args:
        folder: of the record, locked by this run.
        manifest: of the record, with the chunks that are there.
    """

    def __init__(self, folder: RecordFolder, manifest: Manifest) -> None:
        self._folder, self._store = folder, RecordStore(folder, manifest)

    @property
    def manifest(self) -> Manifest:
        """The manifest, with the chunks stored so far."""
        return self._store.manifest

    def reserve(self, *, keeps_segments: bool) -> None:
        """Create and lock the folder; remove files that belong to no chunk of it.

        Args:
            keeps_segments: the segments there are of the same format as the output.

        Raises:
            SinkError: it cannot be created, or is in use.
        """
        is_new = not (self._folder.path / MANIFEST).is_file()
        kept = self.manifest.chunks if keeps_segments else ()
        self._store.reserve([segment_name(entry.number) for entry in kept])
        if not is_new:
            self._store.save()

    def add_record(self, record: PackedChunk) -> None:
        """Store the record of a chunk.

        Raises:
            SinkError: it cannot be written.
        """
        self._store.add(record)

    def read_record(self, number: int) -> PackedChunk:
        """Read the record of a chunk that is stored."""
        entry, path = self._entry(number), self._folder.path
        return PackedChunk(entry, (path / entry.frames_file).read_bytes(), (path / entry.maps_file).read_bytes())

    def add_segment(self, number: int, segment: Segment, peaks: Peaks) -> None:
        """Store the segment of a chunk.

        Args:
            number: of the chunk.
            segment: its frames.
            peaks: running scale at its end.

        Raises:
            SinkError: it cannot be written.
        """
        try:
            self._folder.write(segment_name(number), pack_segment(segment, {"peaks": peaks}))
        except OSError as error:
            raise write_error(self._folder.path, error, self._store.num_frames) from error

    def read_segment(self, number: int) -> tuple[Segment, Peaks] | None:
        """Read a chunk's segment and the running scale at its end.

        Returns:
            None if it is missing or damaged.
        """
        try:
            segment, facts = unpack_segment((self._folder.path / segment_name(number)).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (segment, tuple(facts["peaks"])) if segment.num_frames == self._entry(number).num_frames else None

    def finish_record(self) -> None:
        """Mark the record as complete.

        Raises:
            SinkError: the manifest cannot be written.
        """
        self._store.complete()

    def finish_output(self, path: Path) -> None:
        """Mark the output as complete, and remove all segments.

        Args:
            path: of the output.

        Raises:
            SinkError: the output or the manifest cannot be written.
        """
        finish_output(self._store, path)
        for entry in self.manifest.chunks:
            self._folder.remove(segment_name(entry.number))

    def _entry(self, number: int) -> ChunkEntry:
        return next(one for one in self.manifest.chunks if one.number == number)
