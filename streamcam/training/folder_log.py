"""The folder of a training log: its files, and how they are written and read.

    run.json            model, methods, classes, expected class of each image
    images.npy          the validation images, uint8 (N, H, W, 3) RGB
    log.jsonl           one line for each explanation, epoch and number, in order; a line "resume" voids what has a
                        later step: the training went on from an older checkpoint
    maps/KEY/STEP.npy   raw maps, float16 (N, h, w); the line has the factor that they are multiplied by
    images/KEY/STEP.png images

Files are complete or absent. A line that was cut off by a full disk is removed, and ignored by the reader.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError, describe_error

VERSION = 1
RUN_FILE, IMAGES_FILE, LOG_FILE = "run.json", "images.npy", "log.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class LoggedMaps:
    """A line of the log for one explanation.

    Attributes:
        key, method, layer, map_kind, step, epoch, vmax, targets, predicted, probabilities, statistics: as in
            `streamcam.training.loggers.MapRecord`.
        file: of the maps.
        factor: of the maps.
    """

    key: str
    method: str
    layer: str
    map_kind: Any
    step: int
    epoch: float
    vmax: float
    targets: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: tuple[float, ...]
    statistics: Mapping[str, tuple[float, ...]]
    file: str
    factor: float


@dataclass(frozen=True, slots=True, eq=False)
class FolderLog:
    """A training log that was read.

    Attributes:
        folder: its folder.
        run: the content of ``run.json``.
        explanations: in the order of their steps; of two of one step, the later.
        epochs: what Keras reported after each epoch, by its number; finite numbers only.
        steps_by_epoch: the step at the end of each epoch.
    """

    folder: Path
    run: Mapping[str, Any]
    explanations: tuple[LoggedMaps, ...]
    epochs: Mapping[int, Mapping[str, float]]
    steps_by_epoch: Mapping[int, int]

    @property
    def keys(self) -> tuple[str, ...]:
        """The methods, each with its target if there are several."""
        return tuple(dict.fromkeys(one.key for one in self.explanations))

    def images(self) -> NDArray[np.uint8]:
        """Return the validation images, ``uint8 (N, H, W, 3)`` RGB.

        Raises:
            SourceError: they cannot be read.
        """
        images = load_array(self.folder / IMAGES_FILE)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
            raise SourceError(f"{self.folder / IMAGES_FILE} holds {images.dtype} {images.shape}", expected="RGB images")
        return images

    def maps(self, one: LoggedMaps) -> NDArray[np.float32]:
        """Return the raw maps of an explanation, ``(N, h, w)``.

        Raises:
            SourceError: they cannot be read.
        """
        maps = load_array(self.folder / one.file)
        if maps.ndim != 3 or 0 in maps.shape:
            raise SourceError(f"{self.folder / one.file} holds {maps.dtype} {maps.shape}", expected="maps (N, h, w)")
        return np.asarray(maps.astype(np.float32) * np.float32(one.factor))


def read_folder_log(folder: Path) -> FolderLog:
    """Read a training log, also an unfinished one.

    Raises:
        SourceError: the folder is missing, or no training log.
    """
    if not folder.is_dir():
        raise SourceError(f"no such folder: {folder}", expected="the folder of a training log")
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        version = run["version"]
    except FileNotFoundError:
        raise SourceError(
            f"{folder} is no training log: it has no {RUN_FILE}",
            hint=f"write one with ExplainCallback(..., loggers=['folder:{folder}'])",
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{folder / RUN_FILE} cannot be read: {describe_error(error)}") from error
    if version != VERSION:
        raise SourceError(f"{folder} has version {version!r} of the format", expected=f"version {VERSION}")
    explanations: dict[tuple[str, int], LoggedMaps] = {}
    epochs: dict[int, Mapping[str, float]] = {}
    steps: dict[int, int] = {}
    for line in _read_lines(folder / LOG_FILE):
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a damaged line
            if line["event"] == "maps":
                one = LoggedMaps(**{name: line[name] for name in LoggedMaps.__dataclass_fields__})
                explanations[one.key, int(one.step)] = one
            elif line["event"] == "epoch":
                logs = {name: float(value) for name, value in line["logs"].items() if value is not None}
                epochs[int(line["epoch"])] = logs
                steps[int(line["epoch"])] = int(line["step"])
            elif line["event"] == "resume":
                epoch, step = int(line["epoch"]), int(line["step"])
                explanations = {key: one for key, one in explanations.items() if key[1] <= step}
                epochs = {number: logs for number, logs in epochs.items() if number <= epoch}
                steps = {number: last for number, last in steps.items() if number <= epoch}
    in_order = sorted(explanations.values(), key=lambda one: one.step)
    if run.get("every") != "epoch":
        in_order = _correct_epochs(in_order, steps)
    return FolderLog(folder, run, tuple(in_order), dict(sorted(epochs.items())), steps)


def _correct_epochs(explanations: Sequence[LoggedMaps], steps: Mapping[int, int]) -> list[LoggedMaps]:
    """Place explanations between the ends of epochs: their own number has no fraction if the length was unknown."""
    ends = {one.step: one.epoch for one in explanations[:1]} | {step: epoch for epoch, step in steps.items()}
    known = sorted(ends)
    return [
        replace(one, epoch=float(np.interp(one.step, known, [ends[step] for step in known])))
        if one.step <= known[-1]
        else one
        for one in explanations
    ]


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {describe_error(error)}") from error
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found


def load_array(path: Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"{path} cannot be read: {describe_error(error)}") from error
    return loaded


def write_file(path: Path, data: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append a line to the log; remove it again if the disk is full.

    Raises:
        OSError: it cannot be written.
    """
    data = json.dumps(_finite(values), allow_nan=False).encode() + b"\n"
    with path.open("a+b", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        if length and os.pread(file.fileno(), 1, length - 1) != b"\n":  # a killed run left a part of a line
            data = b"\n" + data
        try:
            file.write(data)
            if file.tell() != length + len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(length)
            raise


def array_bytes(array: NDArray[Any]) -> bytes:
    """Return an array as the content of a ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def to_half(maps: NDArray[np.float32]) -> tuple[NDArray[np.float16], float]:
    """Return maps as float16 with the factor to multiply them by.

    It is a power of two: the largest value is from 0.5 to 1, so that neither overflows nor vanishes.
    """
    peak = float(np.abs(maps).max(initial=0.0))
    factor = math.ldexp(1.0, math.frexp(peak)[1]) if peak > 0 else 1.0
    return np.asarray(maps.astype(np.float64) / factor, np.float16), factor


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not have by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
