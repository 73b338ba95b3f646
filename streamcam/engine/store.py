"""What was compiled and measured on this machine before, kept so that the next run starts at once.

An entry is found again only where nothing has changed that it depends on: the model's files, every option, this
package's code, TensorFlow, processor and graphics cards. What lives in one process only (functions, models from
Python) is not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..models.backend import tf
from ..models.foreign import file_named, is_function_path
from ..models.load import ModelInfo
from .devices import processor_threads
from .kernel import Plan
from .names import node_of
from .program import Program
from .steps import PassesPlan

T = TypeVar("T")

LARGEST = 2 * 2**30
"""Bytes that all entries may take together; those that were not used for longest go."""

_ENTRY = re.compile(r"[0-9a-f]{32}\.zip")
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.zip\.\w{8}\.unfinished")
"""Names of entries, and of those that are still being written. The folder may be one in which the user has files of
their own, so nothing of another name is ever removed."""

_ABANDONED = 24 * 3600
"""Seconds after which an entry that is still being written is nobody's."""

_SAVED_MODEL = "saved_model.pb"
"""What a folder holds that is a model."""

_DECIDING = ("TF_", "ONEDNN_", "KERAS_")
"""Beginnings of environment variables that change what is computed."""

_ROOMS = ("engine", "methods", "models", "card")


class _Unrecognisable(Exception):
    """A value that cannot be told from another one in a later run."""


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """A plan and what was found out about it.

    Attributes:
        plan: rewritten for the processor, where it runs on one.
        precision: that it is to run in.
        xla: whether a graphics card is to compile it.
        notes: what the user is told about these choices.
    """

    plan: Plan
    precision: str
    xla: bool = False
    notes: tuple[str, ...] = ()


class Store:
    """The entries, one file each.

    Args:
        folder: where they are; None keeps none. By default the user's cache folder, or what ``STREAMCAM_CACHE`` names
            (``off`` keeps none).

    Attributes:
        folder: where they are; None where none are kept.
    """

    def __init__(self, folder: Path | str | None = "") -> None:
        if folder == "":
            named = os.environ.get("STREAMCAM_CACHE", "")
            folder = None if named == "off" else Path(named or user_cache_path("streamcam", appauthor=False))
        self.folder = None if folder is None else Path(folder)

    def key(self, *parts: Any) -> str:
        """A name for what depends on ``parts``, on this machine and this software; empty where nothing can be kept."""
        if self.folder is None:
            return ""
        try:
            told = json.dumps([_recognisable(parts), _surroundings()], sort_keys=True)
        except _Unrecognisable:
            return ""
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def info(self, key: str) -> ModelInfo | None:
        """What is known of a model."""

        def read(entry: zipfile.ZipFile) -> ModelInfo:
            record = json.loads(entry.read("info.json"))
            plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
            return ModelInfo(**plain)

        return self._read(key, read)

    def keep_info(self, key: str, info: ModelInfo) -> None:
        """Keeps what is known of a model."""
        names = ("name", "input_size", "flexible", "preprocess_name", "labels", "notes")
        self._write(key, {"info.json": json.dumps({name: getattr(info, name) for name in names}).encode()})

    def settled(self, key: str) -> Settled | None:
        """A plan that is ready to start."""

        def read(entry: zipfile.ZipFile) -> Settled:
            record = json.loads(entry.read("plan.json"))
            return Settled(_plan(record["plan"], entry), record["precision"], record["xla"], tuple(record["notes"]))

        return self._read(key, read)

    def keep_settled(self, key: str, settled: Settled) -> None:
        """Keeps a plan, where that is possible."""
        plan = settled.plan
        if not plan.lasting:
            return
        programs = {"first": plan.first}
        record = {name: getattr(plan, name) for name in _PLAN}
        if plan.passes is not None:
            programs |= {"step": plan.passes.step, "last": plan.passes.last}
            record["passes"] = {name: getattr(plan.passes, name) for name in _PASSES}
        record["programs"] = {
            name: {
                "inputs": one.inputs,
                "outputs": one.outputs,
                "rewritten": one.rewritten,
                "weights": list(one.weights),
            }
            for name, one in programs.items()
        }
        whole = {"plan": record, "precision": settled.precision, "xla": settled.xla, "notes": settled.notes}
        files: dict[str, bytes | memoryview] = {"plan.json": json.dumps(whole).encode()}
        for name, program in programs.items():
            files[f"{name}.pb"] = program.graph_def.SerializeToString()
            files |= {_file(name, n): _bytes(value) for n, value in enumerate(program.weights.values())}
        self._write(key, files)

    def finding(self, key: str) -> str | None:
        """What was found out about this machine."""
        return self._read(key, lambda entry: entry.read("finding.txt").decode())

    def keep_finding(self, key: str, found: str) -> None:
        """Keeps what was found out about this machine."""
        self._write(key, {"finding.txt": found.encode()})

    def _read(self, key: str, read: Callable[[zipfile.ZipFile], T]) -> T | None:
        """What an entry holds, or None; a damaged one is taken away, and one that may not be read is left alone."""
        path = self._path(key)
        if path is None:
            return None
        try:
            file = path.open("rb")
        except OSError:
            return None
        with file:
            try:
                with zipfile.ZipFile(file) as entry:
                    found = read(entry)
            except PermissionError:
                return None
            except Exception:
                # Not a list of errors: a bit that is wrong makes zipfile and whatever it then takes for the packing
                # (zlib, bz2, lzma) raise errors of a dozen kinds, and none of them is a reason to fail.
                with contextlib.suppress(OSError):
                    path.unlink()
                return None
        # For `_prune`. Entries that belong to somebody else, or cannot be changed, are as good without.
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def _path(self, key: str) -> Path | None:
        return self.folder / f"{key}.zip" if self.folder is not None and key else None

    def _write(self, key: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Writes an entry whole or not at all; a cache that cannot be written is no reason to fail."""
        path = self._path(key)
        if path is None:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not os.access(path, os.R_OK):
                # Somebody else's, who would find ours in its place, and could not read that.
                return
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f"{path.name}.", suffix=".unfinished", delete=False
            ) as file:
                try:
                    with zipfile.ZipFile(file, "w") as entry:
                        for name, data in files.items():
                            entry.writestr(name, data)
                    file.close()
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            self._prune(path.parent)

    def _prune(self, folder: Path) -> None:
        entries = []
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                if _ENTRY.fullmatch(path.name):
                    found = path.stat()
                    entries.append((found.st_mtime, found.st_size, path))
                elif _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= LARGEST:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


_PLAN = ("size", "batch", "layer", "told", "own", "figures", "backwards", "notes")
_PASSES = ("rows", "count", "states", "mean")


def _plan(record: dict[str, Any], entry: zipfile.ZipFile) -> Plan:
    def program(name: str) -> Program:
        graph_def = tf.compat.v1.GraphDef()
        graph_def.ParseFromString(entry.read(f"{name}.pb"))
        told = record["programs"][name]
        nodes = {node.name: node for node in graph_def.node}
        if not nodes.keys() >= {node_of(tensor) for tensor in (*told["inputs"], *told["outputs"])}:
            raise ValueError(f"{name} is not whole")
        weights = {one: _array(nodes[one], entry.read(_file(name, n))) for n, one in enumerate(told["weights"])}
        return Program(graph_def, tuple(told["inputs"]), tuple(told["outputs"]), weights, told["rewritten"])

    passes = None
    if "passes" in record:
        passes = PassesPlan(program("step"), program("last"), **{name: record["passes"][name] for name in _PASSES})
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v := record[name], list) else v for name in _PLAN}
    return Plan(first=program("first"), passes=passes, **plain)


def _file(program: str, n: int) -> str:
    return f"{program}-{n}.weight"


def _bytes(value: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data


def _array(placeholder: Any, data: bytes) -> NDArray[Any]:
    kind = tf.dtypes.as_dtype(placeholder.attr["dtype"].type).as_numpy_dtype
    return np.frombuffer(data, kind).reshape([one.size for one in placeholder.attr["shape"].shape.dim])


def _recognisable(value: Any) -> Any:
    """A value as JSON, with size and time of change of each file that it names."""
    if hasattr(value, "__dataclass_fields__"):
        return _recognisable({name: getattr(value, name) for name in value.__dataclass_fields__})
    if isinstance(value, Mapping):
        return {str(name): _recognisable(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_recognisable(one) for one in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, (str, os.PathLike)) or is_function_path(os.fspath(value).strip()):
        raise _Unrecognisable
    text = os.fspath(value)
    if not text:
        return text
    path = file_named(text)
    try:
        if path.is_file():
            return [str(path.resolve()), _stamp(path)]
        if (path / _SAVED_MODEL).is_file():
            folders = sorted(os.walk(path, followlinks=True))
            return [
                str(path.resolve()),
                [_stamp(Path(folder, name)) for folder, _, names in folders for name in sorted(names)],
            ]
    except OSError:
        raise _Unrecognisable from None
    return text


def _stamp(path: Path) -> tuple[str, int, int, int, int]:
    found = path.stat()
    # The time of change and the inode tell files apart that were copied together with their times.
    return str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _surroundings() -> dict[str, Any]:
    """What else decides what is compiled: our code, TensorFlow, and the hardware."""
    package = Path(__file__).resolve().parent.parent
    code = [_stamp(path) for room in _ROOMS for path in sorted((package / room).rglob("*")) if path.is_file()]
    cards = [tf.config.experimental.get_device_details(card) for card in tf.config.list_physical_devices("GPU")]
    return {
        "code": [one for one in code if not one[0].endswith(".pyc")],
        "versions": [tf.__version__, version("keras")],
        "processor": _processor(),
        "threads": processor_threads(),
        "cards": [{name: str(value) for name, value in sorted(card.items())} for card in cards],
        "environment": {name: v for name, v in sorted(os.environ.items()) if name.startswith(_DECIDING)},
    }


def _processor() -> list[str]:
    with contextlib.suppress(OSError):
        wanted = ("model name", "flags", "cpu family", "model")
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        return [line for line in lines if line.partition("\t")[0].strip() in wanted]
    return [platform.machine(), platform.processor()]
