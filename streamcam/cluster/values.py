"""The values that travel between driver and workers."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..frames import FrameRange
from ..record import PackedChunk, RecordedFrame
from ..record.rows import decode_rows

if TYPE_CHECKING:
    from ..sinks.segments import Segment


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """How a worker computes; all workers of a run must agree.

    Attributes:
        manifest: of the record, as JSON, without chunks.
        precision, batch: as chosen on this node.
        notes: messages for the user.
    """

    manifest: bytes
    precision: str
    batch: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """The result of explaining a chunk.

    Attributes:
        record: its files.
        peaks: the largest peak of each target, as from `streamcam.temporal.max_peaks`.
        notes: messages for the user.
        seconds: that it took.
    """

    record: PackedChunk
    peaks: tuple[float, ...]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class DrawTask:
    """A chunk to draw and encode.

    Attributes:
        chunk: its frames.
        record: of the chunk.
        next_chunk, next_record: the chunk after it, if frames are interpolated towards its first one.
        first_pts: of the first frame of the run.
        running_peaks: the largest peak of each target before the chunk; none at the beginning.
        stream_peaks: in the whole run, for ``--scale stream``.
    """

    chunk: FrameRange
    record: PackedChunk
    next_chunk: FrameRange | None
    next_record: PackedChunk | None
    first_pts: int
    running_peaks: tuple[float, ...]
    stream_peaks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The result of drawing a chunk.

    Attributes:
        segment: the encoded frames.
        running_peaks: the largest peak of each target up to its end.
        notes: messages for the user.
        seconds: that it took.
    """

    segment: Segment
    running_peaks: tuple[float, ...]
    notes: tuple[str, ...]
    seconds: float


def unpack_chunk(record: PackedChunk, num_targets: int) -> list[RecordedFrame]:
    """Return the frames of a packed chunk, with raw maps.

    Args:
        record: the chunk.
        num_targets: rows of a frame.
    """
    maps = np.load(io.BytesIO(record.maps), allow_pickle=False)
    return decode_rows([json.loads(line) for line in record.table.splitlines()], maps, num_targets)
