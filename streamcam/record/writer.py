"""Write a record while the frames of a run pass."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeAlias

from ..concurrency.channel import Cancelled, Channel
from ..concurrency.group import StageGroup
from ..errors import SinkError
from ..frames import ExplainedFrame, FrameRange
from .folder import RecordFolder
from .manifest import ChunkEntry, Manifest
from .rows import StoredFrame
from .store import RecordStore, pack_chunk

MAX_CHUNK_FRAMES = 256
"""Frames of a chunk without a plan: about 10 seconds."""

MAX_CHUNK_BYTES = 16 << 20
"""Bytes of its maps as float32."""

MAX_PLANNED_BYTES = 256 << 20
"""Bytes of the maps of a planned chunk as float32; if they are more, the plan is dropped."""

_ARRAY_HEADER_BYTES = 128
"""Bytes of an array's file before its samples."""

_Pending: TypeAlias = tuple[int, tuple[StoredFrame, ...], bool]
"""Number and frames of a chunk, and if they are those of the plan."""


def is_full(entry: ChunkEntry) -> bool:
    """Return True if a chunk without a plan is full."""
    return entry.num_frames >= MAX_CHUNK_FRAMES or 2 * (entry.maps_bytes - _ARRAY_HEADER_BYTES) >= MAX_CHUNK_BYTES


class RecordWriter:
    """Writes explained frames to a record, in a thread of its own.

    It is a context manager. `add` takes frames in order and returns at once; if the disk is more than a chunk behind,
    it waits. Up to three chunks are in memory. The end of the block writes the frames of the last chunk, whole or not
    at all, also on an error or an interrupt. Without a frame no folder is created.

    Chunks are those of the manifest's plan. Without one, or once the frames are not the planned ones or too large for
    memory, a chunk ends when it has `MAX_CHUNK_FRAMES` or `MAX_CHUNK_BYTES`.

    Args:
        folder: of the record; checked before.
        manifest: of the record, with the chunks that are kept; they must be the first ones.
        closes_folder: unlock the folder at the end.

    Attributes:
        store: of the chunks on the disk.
    """

    def __init__(self, folder: RecordFolder, manifest: Manifest, *, closes_folder: bool = True) -> None:
        self._folder, self._closes_folder = folder, closes_folder
        self._plan = manifest.plan
        self._next_number = len(manifest.chunks)
        self.store = RecordStore(folder, manifest)
        self._group = StageGroup()
        self._chunks: Channel[_Pending] = Channel(1)
        self._lock = threading.Lock()
        self._pending: list[StoredFrame] = []
        self._pending_bytes = 0
        self._before: StoredFrame | None = None
        self._is_complete = self._is_closed = False

    @property
    def path(self) -> Path:
        """The folder of the record."""
        return self._folder.path

    @property
    def num_frames(self) -> int:
        """Frames in whole chunks on the disk."""
        return self.store.num_frames

    def __enter__(self) -> Self:
        self._progress = self._group.prefetch(self._write_chunks(), depth=1, name="record")
        return self

    def add(self, item: ExplainedFrame) -> ExplainedFrame:
        """Record a frame; return it with its maps as they come back from the record.

        So a video is drawn from the same maps, whether its frames come from the model or from the record.

        Raises:
            SinkError: the record cannot be written; the chunks before are kept.
        """
        with self._lock:
            if self._is_closed:
                raise Cancelled
            self.store.reserve()
            stored = StoredFrame.of(item, self._before)
            if not self._pending:
                self._check_plan(stored)
            self._before = stored
            self._pending.append(stored)
            if len(self._pending) == 1 or not item.held:
                self._pending_bytes += 2 * stored.maps.nbytes
            if self._pending_bytes > MAX_PLANNED_BYTES:
                self._plan = None
            if self._is_full():
                self._flush()
        return stored.restore(item)

    def record(self, items: Iterable[ExplainedFrame]) -> Iterator[ExplainedFrame]:
        """Record each frame, and yield it as `add` returns it; the end of the frames makes the record complete."""
        for item in items:
            yield self.add(item)
        self.complete()

    def complete(self) -> None:
        """Mark the record as complete: the source was read to its end."""
        self._is_complete = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the last chunk.

        Raises:
            SinkError: it cannot be written; not raised if the block raised an error.
        """
        with self._group:
            try:
                self.finish()
                if self.store.is_reserved:
                    self._folder.check_in_place()
            except (SinkError, Cancelled):
                if kind is None:
                    raise
            finally:
                if self._closes_folder:
                    self._folder.close()

    def finish(self) -> None:
        """Write the last chunk, and wait until all are on the disk; no frame can be added then.

        Raises:
            SinkError: it cannot be written.
        """
        # After an interrupt, another thread may still add a frame.
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._pending:
                self._flush()
            self._chunks.close()
            self._wait()

    @property
    def _chunk(self) -> FrameRange | None:
        """The chunk of the plan that is being filled."""
        return self._plan[self._next_number] if self._plan and self._next_number < len(self._plan) else None

    def _check_plan(self, first: StoredFrame) -> None:
        """Drop the plan if a chunk begins with another frame."""
        chunk = self._chunk
        if chunk is None or (chunk.first_index, chunk.first_pts) != (first.frame.index, first.frame.pts):
            self._plan = None

    def _is_full(self) -> bool:
        if self._chunk is not None:
            return len(self._pending) == self._chunk.num_frames
        return len(self._pending) >= MAX_CHUNK_FRAMES or self._pending_bytes >= MAX_CHUNK_BYTES

    def _flush(self) -> None:
        chunk = self._next_number, tuple(self._pending), self._plan is not None
        self._next_number += 1
        self._pending, self._pending_bytes = [], 0
        try:
            self._chunks.put(chunk)
        except Cancelled:
            self._wait()
            raise

    def _wait(self) -> None:
        """Wait for the writing thread; raise its error."""
        for _ in self._progress:
            pass

    def _write_chunks(self) -> Iterator[NoReturn]:
        """Write the chunks as they come; a generator for `StageGroup.prefetch`."""
        try:
            for number, frames, is_planned in self._chunks:
                if not is_planned:
                    self.store.drop_plan()
                self.store.add(pack_chunk(number, frames, self.store.manifest))
            if self._is_complete and self.store.is_reserved:
                if self.store.manifest.missing:
                    self.store.drop_plan()  # the source ended early
                self.store.complete()
        finally:
            self._chunks.cancel()
        yield from ()
