"""Write a record while the frames of a run pass."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import numpy as np

from ..concurrency.channel import Cancelled, Channel
from ..concurrency.group import StageGroup
from ..errors import SinkError
from ..frames import ExplainedFrame
from .folder import MANIFEST, RecordFolder, write_error
from .manifest import ChunkEntry, Manifest
from .rows import RecordedFrame, encode_chunk

MAX_CHUNK_FRAMES = 256
"""Frames of a chunk: about 10 seconds."""

MAX_CHUNK_BYTES = 16 << 20
"""Bytes of the float32 maps of a chunk in memory; up to three chunks are there at a time."""


class RecordWriter:
    """Writes explained frames to a record, in a thread of its own.

    It is a context manager. `add` takes frames in order and returns at once; if the disk is more than a chunk behind,
    it waits. The end of the block writes the frames of the last chunk, whole or not at all, also on an error or an
    interrupt. Without a frame no folder is created.

    Args:
        folder: of the record; checked before.
        manifest: of the record, without chunks.
    """

    def __init__(self, folder: RecordFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._group = StageGroup()
        self._chunks: Channel[tuple[RecordedFrame, ...]] = Channel(1)
        self._lock = threading.Lock()
        self._pending: list[RecordedFrame] = []
        self._pending_bytes = 0
        self._is_reserved = self._is_complete = self._is_closed = False

    @property
    def path(self) -> Path:
        """The folder of the record."""
        return self._folder.path

    @property
    def num_frames(self) -> int:
        """Frames in whole chunks on the disk."""
        return sum(one.num_frames for one in self._manifest.chunks)

    def __enter__(self) -> Self:
        self._progress = self._group.prefetch(self._write_chunks(), depth=1, name="record")
        return self

    def add(self, item: ExplainedFrame) -> None:
        """Record a frame.

        Raises:
            SinkError: the record cannot be written; the chunks before are kept.
        """
        with self._lock:
            if self._is_closed:
                raise Cancelled
            if not self._is_reserved:
                self._reserve()
            frame = RecordedFrame.of(item)
            self._pending.append(frame)
            if len(self._pending) == 1 or not frame.held:
                self._pending_bytes += sum(one.heatmap.nbytes for one in frame.attributions)
            if len(self._pending) == MAX_CHUNK_FRAMES or self._pending_bytes >= MAX_CHUNK_BYTES:
                self._flush()

    def record(self, items: Iterable[ExplainedFrame]) -> Iterator[ExplainedFrame]:
        """Record each frame, and yield it unchanged; the end of the frames makes the record complete."""
        for item in items:
            self.add(item)
            yield item
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
                if self._is_reserved:
                    self._folder.check_in_place()
            except (SinkError, Cancelled):
                if kind is None:
                    raise
            finally:
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

    def _reserve(self) -> None:
        try:
            self._folder.reserve()
        except OSError as error:
            raise write_error(self._folder.path, error, 0) from error
        self._is_reserved = True

    def _flush(self) -> None:
        frames, self._pending, self._pending_bytes = tuple(self._pending), [], 0
        try:
            self._chunks.put(frames)
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
            for frames in self._chunks:
                self._write_chunk(frames)
            if self._is_complete and self._is_reserved:
                self._write_manifest(replace(self._manifest, complete=True))
        except OSError as error:
            raise write_error(self._folder.path, error, self.num_frames) from error
        finally:
            self._chunks.cancel()
        yield from ()

    def _write_chunk(self, frames: tuple[RecordedFrame, ...]) -> None:
        manifest = self._manifest
        table, maps = encode_chunk(frames, manifest.time_base, manifest.geometry, manifest.map_kind)
        with io.BytesIO() as file:
            np.save(file, maps, allow_pickle=False)
            array = file.getvalue()
        entry = ChunkEntry(
            number=len(manifest.chunks),
            num_frames=len(frames),
            num_maps=len(maps),
            first_index=frames[0].index,
            pts=(frames[0].pts, frames[-1].pts),
            frames_bytes=len(table),
            maps_bytes=len(array),
            frames_sha256=hashlib.sha256(table).hexdigest(),
            maps_sha256=hashlib.sha256(array).hexdigest(),
        )
        try:
            self._folder.write(entry.maps_file, array)
            self._folder.write(entry.frames_file, table)
            self._write_manifest(replace(manifest, chunks=(*manifest.chunks, entry)))
        except OSError:
            self._folder.remove(entry.maps_file)
            self._folder.remove(entry.frames_file)
            raise

    def _write_manifest(self, manifest: Manifest) -> None:
        self._folder.write(MANIFEST, manifest.to_json())
        self._manifest = manifest
