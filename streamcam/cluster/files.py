"""The files of a job, and copies for nodes without them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import SourceError
from ..imports import expand_path
from ..job import Job
from ..options import DEFAULT_MODEL
from ..record import SourceIdentity

PIECE_BYTES = 8 << 20
"""A file travels in pieces of this size: one at a time is in memory."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file, or one of a folder.

    Attributes:
        path: absolute.
        relative: within its folder; empty for a file.
        size: bytes.
        sha256: of its first and last MiB.
    """

    path: str
    relative: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file or folder that an option of a job names.

    Attributes:
        name: as in the job.
        path: absolute.
        parts: its files; itself if it is no folder.
    """

    name: str
    path: str
    parts: tuple[FilePart, ...]

    @classmethod
    def of(cls, name: str, path: Path) -> JobFile:
        """Read the sizes and hashes of a file or folder.

        Raises:
            SourceError: it cannot be read.
        """
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        parts = []
        for one in files:
            identity = SourceIdentity.of(str(one))
            if identity.size is None or identity.sha256 is None:
                raise SourceError(f"{one} cannot be read")
            relative = one.relative_to(path).as_posix() if one != path else ""
            parts.append(FilePart(str(one.absolute()), relative, identity.size, identity.sha256))
        return cls(name, str(path.absolute()), tuple(parts))

    @property
    def base_name(self) -> str:
        """The last part of its path."""
        return Path(self.path).name

    @property
    def is_here(self) -> bool:
        """True if this machine has the same file under the same path."""
        return all(
            (found.size, found.sha256) == (part.size, part.sha256)
            for part in self.parts
            for found in [SourceIdentity.of(part.path)]
        )

    def pieces(self) -> Iterator[tuple[str, bytes]]:
        """Yield the contents as ``(relative, bytes)``, one piece after the other."""
        for part in self.parts:
            with open(part.path, "rb") as file:
                yield part.relative, file.read(PIECE_BYTES)
                while data := file.read(PIECE_BYTES):
                    yield part.relative, data


class FileCopies:
    """Copies of files that a node does not see.

    Args:
        folder: for the copies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def receive(self, number: int, name: str, relative: str, data: bytes) -> str:
        """Append a piece to the copy of a file; return the path of the copy.

        Args:
            number: of the file.
            name: of the file or folder.
            relative: the part of a folder; empty for a file.
            data: the piece.

        Raises:
            SourceError: it cannot be written.
        """
        root = self._folder / f"file-{number}" / name
        path = root / relative if relative else root
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as target:
                target.write(data)
        except OSError as error:
            raise SourceError(f"the copy of {name} cannot be written: {error.strerror}") from error
        return str(root)


def job_files(job: Job) -> tuple[JobFile, ...]:
    """Return the local files that a job names: input, model, class names, values of other inputs.

    Raises:
        SourceError: one cannot be read.
    """
    values = (job.model.model, job.model.labels, *job.model.extra_input.values())
    texts = [os.fspath(value) for value in values if isinstance(value, (str, os.PathLike))]
    names = [job.source.url.removeprefix("file://"), *(text for text in texts if text != DEFAULT_MODEL)]
    paths = {name: expand_path(name) for name in dict.fromkeys(names)}
    return tuple(JobFile.of(name, path) for name, path in paths.items() if path.exists())


def localize(job: Job, places: Mapping[str, str]) -> Job:
    """Return a job that reads its files from other places.

    Args:
        job: of the driver.
        places: names in the job, and paths on this node.
    """

    def place(value: Any) -> Any:
        return places.get(os.fspath(value), value) if isinstance(value, (str, os.PathLike)) else value

    return replace(
        job,
        source=replace(job.source, url=place(job.source.url.removeprefix("file://"))),
        model=replace(
            job.model,
            model=place(job.model.model),
            labels=place(job.model.labels),
            extra_input={name: place(value) for name, value in job.model.extra_input.items()},
        ),
    )
