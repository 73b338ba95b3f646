"""The manifest of a record: what was explained, how, and the list of chunks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import StreamcamError, redact_url
from ..frames import FrameRange, MapKind
from ..geometry import Geometry
from .folder import FORMAT
from .json_types import has_types

FORMAT_VERSION = 1

_HASHED_BYTES = 1 << 20
_PACKAGES = ("streamcam", "numpy", "av", "tensorflow", "keras")

_KEYS: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "name": str,
        "sha256": str | None,
        "preprocess": str,
        "preprocess_guess": str,
        "labels": tuple[str, ...],
    },
    "run": {"targets": tuple[str, ...], "precision": str, "batch": int, "device": str},
    "job": {
        "source": Mapping[str, Any],
        "temporal": Mapping[str, Any],
        "draw": Mapping[str, Any],
        "sink": Mapping[str, Any],
    },
}
"""Keys and types in the parts of a manifest that the options of a run and its facts fill."""

_TIME_BASE = re.compile(r"[1-9]\d{0,9}(/[1-9]\d{0,9})?")


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """The file that a record explains, and how to recognise it.

    Attributes:
        path: absolute path of a local file; a URL without its secrets.
        size: bytes; None if it is no regular file.
        mtime: when it was changed last, in seconds since 1970; for information.
        sha256: of its first and last MiB, one after the other.
    """

    path: str
    size: int | None = None
    mtime: float | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, url: str) -> SourceIdentity:
        """Read the identity of an input; that of a URL, a pipe or a device has only a path."""
        path = url.removeprefix("file://")
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe may wait
                return cls(path)
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                digest = hashlib.sha256(file.read(_HASHED_BYTES))
                file.seek(max(0, status.st_size - _HASHED_BYTES))
                digest.update(file.read(_HASHED_BYTES))
        except (OSError, ValueError):
            return cls(redact_url(url))
        return cls(os.path.abspath(path), status.st_size, status.st_mtime, digest.hexdigest())

    def is_same_file(self, other: SourceIdentity) -> bool:
        """Return True if size and hash agree."""
        return (self.size, self.sha256) == (other.size, other.sha256)


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """A chunk in the list of the manifest.

    Attributes:
        number: 0, 1, 2 …; that of the plan, if there is one.
        num_frames: lines of its table for one target.
        num_maps: first axis of its maps.
        first_index: index of its first frame.
        pts: time stamps of its first and last frame.
        frames_bytes, maps_bytes: sizes of its files.
        frames_sha256, maps_sha256: hashes of its files.
    """

    number: int
    num_frames: int
    num_maps: int
    first_index: int
    pts: tuple[int, int]
    frames_bytes: int
    maps_bytes: int
    frames_sha256: str
    maps_sha256: str

    @property
    def frames_file(self) -> str:
        """Name of its table."""
        return f"frames-{self.number:04d}.jsonl"

    @property
    def maps_file(self) -> str:
        """Name of its maps."""
        return f"maps-{self.number:04d}.npy"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a record, and its chunks.

    Attributes:
        source: the file.
        frame: ``width``, ``height``, ``pixel_format``, ``pixel_aspect`` and ``average_fps`` of its frames.
        time_base: unit of every time stamp, in seconds.
        model: ``name``, ``sha256`` of its files or None, ``preprocess``, ``preprocess_guess`` and ``labels``.
        method: name of the method.
        layer: path of the layer; empty if the method has none.
        map_kind: how the maps are shown.
        targets: name of each target; ``top`` for the most probable class.
        geometry: how frames are fitted into the model's input.
        run: the resolved facts of the run, as in its summary.
        job: the options of the run, without secrets.
        versions: of streamcam, Python and the libraries.
        plan: the chunks of the source, before any is made; None if they end as their maps fill up.
        complete: True once the source was read to its end.
        output: name of the output, once it is complete.
        output_file: its size and hashes, as ``size``, ``sha256`` of its first and last MiB, and ``head_sha256`` of its
            first 4 KiB; None if it is no regular file.
        chunks: those that are done, in order; with a plan, some may be missing.
    """

    source: SourceIdentity
    frame: Mapping[str, Any]
    time_base: Fraction
    model: Mapping[str, Any]
    method: str
    layer: str
    map_kind: MapKind
    targets: tuple[str, ...]
    geometry: Geometry
    run: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    plan: tuple[FrameRange, ...] | None = None
    complete: bool = False
    output: str | None = None
    output_file: Mapping[str, Any] | None = None
    chunks: tuple[ChunkEntry, ...] = ()

    @property
    def prefix(self) -> tuple[ChunkEntry, ...]:
        """The chunks from the first one on, without a gap."""
        return tuple(one for number, one in enumerate(self.chunks) if one.number == number)

    @property
    def missing(self) -> tuple[FrameRange, ...]:
        """The chunks of the plan that are not done: absent, or cut short by an interrupt."""
        done = {one.number: one.num_frames for one in self.chunks}
        return tuple(one for one in self.plan or () if done.get(one.number) != one.num_frames)

    def with_chunk(self, entry: ChunkEntry) -> Manifest:
        """Return the manifest with a further chunk, in its place."""
        others = (one for one in self.chunks if one.number != entry.number)
        return dataclasses.replace(self, chunks=tuple(sorted((*others, entry), key=lambda one: one.number)))

    def to_json(self) -> bytes:
        """Return the text of the file."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        values["source"] = dataclasses.asdict(self.source)
        values["time_base"] = str(self.time_base)
        values["geometry"] = dataclasses.asdict(self.geometry)
        values["plan"] = None if self.plan is None else [dataclasses.asdict(one) for one in self.plan]
        values["chunks"] = [
            {**dataclasses.asdict(one), "frames": one.frames_file, "maps": one.maps_file} for one in self.chunks
        ]
        return json.dumps({"format": FORMAT, "version": FORMAT_VERSION, **values}, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes, path: Path) -> Manifest:
        """Read the text of a file.

        Args:
            text: of the file.
            path: of the record, for messages.

        Raises:
            StreamcamError: another format or version, or damaged.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError
            version = values.pop("version")
            if version == FORMAT_VERSION and "plan" not in values:
                version = "0 (an older layout)"
            elif version == FORMAT_VERSION:
                return cls._from_values(values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise damaged_manifest_error(path) from None
        raise StreamcamError(
            f"the record {path} has format version {version}",
            expected=str(FORMAT_VERSION),
            hint="use the version of streamcam that wrote it",
        )

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Manifest:
        values.setdefault("output_file", None)
        kinds = get_type_hints(cls) | {"time_base": str}
        if not has_types(values, kinds) or not all(has_types(values[part], keys) for part, keys in _KEYS.items()):
            raise ValueError
        geometry = Geometry(**{name: tuple(pair) for name, pair in values["geometry"].items()})
        names = [one.name for one in dataclasses.fields(ChunkEntry)]
        chunks = [
            ChunkEntry(**{name: chunk[name] for name in names} | {"pts": tuple(chunk["pts"])})
            for chunk in values["chunks"]
        ]
        plan = None if values["plan"] is None else tuple(FrameRange(**one) for one in values["plan"])
        numbers = [one.number for one in chunks]
        if numbers != (list(range(len(chunks))) if plan is None else sorted(set(numbers) & set(range(len(plan))))):
            raise ValueError
        if not _TIME_BASE.fullmatch(values["time_base"]):
            raise ValueError
        restored = {
            "source": SourceIdentity(**values["source"]),
            "time_base": Fraction(values["time_base"]),
            "geometry": geometry,
            "targets": tuple(values["targets"]),
            "plan": plan,
            "chunks": tuple(chunks),
        }
        manifest = cls(**{**{one.name: values[one.name] for one in dataclasses.fields(cls)}, **restored})
        if not manifest._is_possible():
            raise ValueError
        return manifest

    def _is_possible(self) -> bool:
        """Return True if all parts have values that a run writes."""
        return (
            [one.number for one in self.plan or ()] == list(range(len(self.plan or ())))
            and all(min(one.num_frames, one.num_maps) > 0 and one.first_index >= 0 for one in self.chunks)
            and all(one.num_frames > 0 and one.first_index >= 0 for one in self.plan or ())
            and 0 < len(self.targets) == len(self.run["targets"])
            and bool(Path(self.job["sink"]["path"]).stem.strip("."))
            and _is_in_input(self.geometry)
        )


def _is_in_input(geometry: Geometry) -> bool:
    """Return True if the image covers a part of the input."""
    sides = zip(geometry.source, geometry.scaled, geometry.offset, geometry.input, strict=True)
    return all(
        source > 0 and scaled > 0 and -scaled < offset < model_input for source, scaled, offset, model_input in sides
    )


def damaged_manifest_error(path: str | os.PathLike[str]) -> StreamcamError:
    """Return the error of a manifest that no run writes."""
    return StreamcamError(f"the record {path} is damaged: its manifest cannot be read", hint="record it again")


def installed_versions() -> dict[str, str]:
    """Return the versions of the software that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
