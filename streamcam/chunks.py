"""A run as a list of chunks: consecutive frames that can be explained, drawn and encoded on their own.

The plan depends on the source and the options alone, never on cores, encoders or machines. The first frame of a chunk
is always explained, and carries `Frame.starts_chunk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import SourceError
from .frames import Frame, FrameRange, MapKind, SourceInfo
from .geometry import Geometry
from .options import SourceOptions, TemporalOptions
from .sources import open_source, plan_chunks

if TYPE_CHECKING:
    from .sources import Source

CHUNK_FRAMES = 256
"""Frames of a chunk: about 10 seconds, and a multiple of every batch."""

MIN_CHUNK_FRAMES = 8
"""Frames of a chunk if maps are large."""

MAX_CHUNK_MAP_BYTES = 32 << 20
"""Bytes of the float16 maps of a chunk, three of which may be in memory."""

_HEAT_STRIDE = 8
"""Least side of the cells of a coarse map, in pixels of the model's input; an estimate."""


def max_chunk_frames(geometry: Geometry, map_kind: MapKind, num_targets: int) -> int:
    """Return how many frames a chunk may have.

    Its maps must fit into memory.

    Args:
        geometry: of the model's input.
        map_kind: maps of pixels are as large as the model's input.
        num_targets: maps of a frame.
    """
    width, height = geometry.input
    samples = width * height // (_HEAT_STRIDE**2 if map_kind == "heat" else 1)
    return min(CHUNK_FRAMES, max(MIN_CHUNK_FRAMES, MAX_CHUNK_MAP_BYTES // (2 * max(1, samples) * num_targets)))


def plan_run(source: SourceOptions, temporal: TemporalOptions, max_frames: int) -> tuple[FrameRange, ...] | None:
    """Return the chunks of a run.

    None for a source that must be read from its beginning.

    Args:
        source: path, and the window of it to read.
        temporal: if every N-th frame is explained, chunks begin with one of them.
        max_frames: as from `max_chunk_frames`.
    """
    return plan_chunks(source, max_frames=max_frames, every=1 if temporal.every == "auto" else temporal.every)


def mark_chunks(frames: Iterable[Frame], plan: Iterable[FrameRange] | None) -> Iterator[Frame]:
    """Mark the first frame of each chunk with `Frame.starts_chunk`.

    Frames that are not the planned ones are not marked: damage that the packets do not show is found while decoding.

    Args:
        frames: of the source, or of some of its chunks, in order.
        plan: all chunks of the source; None marks no frame.
    """
    starts = {one.first_index: one.first_pts for one in plan or ()}
    for frame in frames:
        yield replace(frame, starts_chunk=True) if starts.get(frame.index) == frame.pts else frame


def remaining_range(plan: tuple[FrameRange, ...], number: int) -> FrameRange:
    """Return the frames from a chunk to the source's end."""
    first = plan[number]
    num_frames = plan[-1].first_index + plan[-1].num_frames - first.first_index
    return replace(first, num_frames=num_frames, end_pts=None)


@contextmanager
def open_chunk(
    options: SourceOptions, frame_range: FrameRange, info: SourceInfo, *, keep_on_gpu: bool = False
) -> Iterator[Source]:
    """Open the frames of one chunk, or from one on; they are those of the whole source.

    Args:
        options: path, and the window of it that is planned.
        frame_range: the frames, as planned.
        info: properties of the whole source.
        keep_on_gpu: as for `streamcam.sources.open_source`.

    Raises:
        SourceError: it cannot be read, or its frames are not the planned ones.
    """
    with open_source(options, keep_on_gpu=keep_on_gpu, frame_range=frame_range) as source:
        found = source.info
        for name in ("width", "height", "pixel_format", "time_base", "color", "on_gpu"):
            now, before = getattr(found, name), getattr(info, name)
            if now != before:
                raise SourceError(
                    f"{info.name} changes in its middle: {name} is {now}, and was {before}",
                    hint="process it without --resume and --cluster",
                )
        yield source
