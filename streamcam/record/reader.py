"""Read a record: lazy arrays, a table, and frames."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, SourceError, StreamcamError, count_of, list_known
from ..frames import ExplainedFrame, Frame, SourceInfo
from ..notes import get_logger
from ..options import record_folder
from .chunk import Chunk
from .folder import MANIFEST
from .manifest import Manifest
from .rows import RecordedFrame
from .verify import drop_damaged_chunks

logger = get_logger(__name__)


def open_record(path: str | os.PathLike[str]) -> Record:
    """Open a record; its arrays are read when they are used.

        record = streamcam.open_record("out.mp4.streamcam")
        frame = pandas.DataFrame(record.table())
        for one in record:
            print(one.index, one.attributions[0].label, one.attributions[0].heatmap.shape)

    Args:
        path: of its folder.

    Raises:
        StreamcamError: no record, one of another version, or a chunk is missing or damaged.
    """
    return Record(Path(path))


class Record:
    """The attributions and scores of a run.

    Its length is the number of frames; iteration yields them as `RecordedFrame`, a chunk in memory at a time.

    Args:
        path: of the folder.
        drops_damaged: omit chunks that are missing or damaged, instead of raising an error.

    Attributes:
        path: of the folder.
        manifest: what was explained, and how.
        chunks: consecutive frames, in order; those after a missing chunk are omitted.
    """

    def __init__(self, path: Path, *, drops_damaged: bool = False) -> None:
        self.path = path
        try:
            text = (path / MANIFEST).read_bytes()
        except OSError:
            beside = record_folder(path)
            is_output = (beside / MANIFEST).is_file()
            raise StreamcamError(
                f"{path} is no record",
                expected=f"a folder with {MANIFEST}, as process --record writes it",
                hint=f"did you mean {str(beside)!r}?" if is_output else "",
            ) from None
        self.manifest = Manifest.from_json(text, path)
        if drops_damaged:
            self.manifest = drop_damaged_chunks(self.manifest, path)
        self.chunks = tuple(Chunk(path, one, len(self.manifest.targets)) for one in self.manifest.prefix)

    def __repr__(self) -> str:
        end = "" if self.complete else ", incomplete"
        return f"<Record {str(self.path)!r}: {count_of(len(self), 'frame')}, {', '.join(self.targets)}{end}>"

    def first_chunks(self, count: int) -> Record:
        """Return the record of its first chunks only."""
        part = copy.copy(self)
        part.chunks = self.chunks[:count]
        return part

    def check_tables(self) -> None:
        """Check that the table of each chunk is whole; maps are checked when they are used.

        Raises:
            StreamcamError: a chunk is damaged.
        """
        for chunk in self.chunks:
            chunk.check_table()

    @property
    def targets(self) -> tuple[str, ...]:
        """Name of each target; ``top`` for the most probable class."""
        return self.manifest.targets

    @property
    def complete(self) -> bool:
        """True if the whole source is recorded; False after an interrupt or an error."""
        return self.manifest.complete

    def __len__(self) -> int:
        return sum(one.entry.num_frames for one in self.chunks)

    def __iter__(self) -> Iterator[RecordedFrame]:
        for chunk in self.chunks:
            yield from chunk.frames()

    def find_targets(self, wanted: Sequence[str]) -> tuple[int, ...]:
        """Return the numbers of targets, each once.

        Args:
            wanted: names, or the texts that they were requested by; none for all.

        Raises:
            OptionError: the record has no such target.
        """
        if not wanted:
            return tuple(range(len(self.targets)))
        numbers: dict[str, int] = {}
        for names in (self.manifest.run.get("targets", ()), self.targets):
            for number, name in enumerate(names):
                numbers.setdefault(str(name).casefold(), number)
        for one in wanted:
            if str(one).strip().casefold() not in numbers:
                raise OptionError(
                    f"--target {one!r} is not recorded", hint=list_known(str(one), self.targets, "recorded targets")
                )
        return tuple(dict.fromkeys(numbers[str(one).strip().casefold()] for one in wanted))

    def join(self, frames: Iterable[Frame], info: SourceInfo, targets: Sequence[int]) -> Iterator[ExplainedFrame]:
        """Yield the frames of the recorded source with their maps.

        Args:
            frames: of the source, in order.
            info: properties of the source.
            targets: numbers of the targets to take.

        Raises:
            SourceError: a frame is not the recorded one.
            StreamcamError: a chunk is damaged.
        """
        num_joined = 0
        for item in self.attach(frames, info, targets):
            yield item
            num_joined += 1
        if num_joined < len(self):
            logger.warning("%s ends after %d of %d recorded frames", info.name, num_joined, len(self))
        elif not self.complete:
            logger.warning("the record ends after %s", count_of(num_joined, "frame"))

    def attach(
        self, frames: Iterable[Frame], info: SourceInfo, targets: Sequence[int], *, first_chunk: int = 0
    ) -> Iterator[ExplainedFrame]:
        """Yield frames with their maps, as `join`.

        No frame after the recorded ones is taken.

        Args:
            frames: of the source, from the first one of a chunk on.
            info: properties of the source.
            targets: numbers of the targets to take.
            first_chunk: number of that chunk.

        Raises:
            SourceError, StreamcamError: see `join`.
        """
        rest = iter(frames)
        for recorded in (one for chunk in self.chunks[first_chunk:] for one in chunk.frames()):
            frame = next(rest, None)
            if frame is None:
                return
            if (frame.index, frame.pts) != (recorded.index, recorded.pts):
                raise SourceError(
                    f"frame {frame.index} of {info.name} has the time stamp {frame.pts}",
                    expected=f"frame {recorded.index} with {recorded.pts}, as recorded",
                    hint="record it again",
                )
            yield recorded.explained(frame, targets)

    def maps(self, target: int = 0) -> Iterator[NDArray[np.float32]]:
        """Return the raw maps of a target, chunk by chunk.

        Args:
            target: number of the target.

        Returns:
            An iterator of float32 ``(frames, h, w)`` for each chunk.

        Raises:
            StreamcamError: a chunk is damaged.
            IndexError: there is no such target.
        """
        numbers = range(len(self.targets))
        if not -len(numbers) <= target < len(numbers):
            raise IndexError(f"no target {target}; expected 0 to {numbers[-1]}")
        return self._maps(numbers[target])

    def _maps(self, target: int) -> Iterator[NDArray[np.float32]]:
        for chunk in self.chunks:
            rows = [row for row in chunk.rows() if row["target"] == target]
            scales = np.array([row["scale"] for row in rows], np.float32)
            numbers = [row["map"] for row in rows]
            yield chunk.maps[numbers, target].astype(np.float32) * scales[:, None, None]

    def table(self) -> Mapping[str, list[Any]]:
        """Return the table as columns, for ``pandas.DataFrame``.

        It has a row for each target of each frame.

        Raises:
            StreamcamError: a chunk is damaged.
        """
        rows = [row | {"chunk": chunk.entry.number} for chunk in self.chunks for row in chunk.rows()]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}
