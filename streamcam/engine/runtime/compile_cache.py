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

from ...imports import expand_path, is_function_path
from ...models.load import ModelInfo
from ...tf import tf
from ..compiled_method import FrozenMethod
from ..compiler.graph_editor import node_name
from ..multi_pass import FrozenMultiPass
from .devices import default_intra_op_threads
from .frozen_graph import FrozenGraph

T = TypeVar("T")

MAX_CACHE_BYTES = 2 * 2**30
"""Bytes that all entries may take together; those that were not used for longest go."""

_ENTRY = re.compile(r"[0-9a-f]{32}\.zip")
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.zip\.\w{8}\.unfinished")
"""Names of entries, and of those that are still being written. The folder may be one in which the user has files of
their own, so nothing of another name is ever removed."""

_ABANDONED_SECONDS = 24 * 3600
"""Seconds after which an entry that is still being written is nobody's."""

_SAVED_MODEL = "saved_model.pb"
"""What a folder holds that is a model."""

_HASHED_VARIABLES = ("TF_", "ONEDNN_", "KERAS_")
"""Beginnings of environment variables that change what is computed."""

HASHED_PACKAGES = ("engine", "methods", "models", "gpu", "media", "tf.py", "imports.py")


class _NotCacheable(Exception):
    """A value that cannot be told from another one in a later run."""


@dataclass(frozen=True, slots=True, eq=False)
class TunedMethod:
    """A plan and what was found out about it.

    Attributes:
        method: rewritten for the processor, where it runs on one.
        precision: that it is to run in.
        xla: whether a graphics card is to compile it.
        notes: what the user is told about these choices.
    """

    method: FrozenMethod
    precision: str
    xla: bool = False
    notes: tuple[str, ...] = ()


class CompileCache:
    """The entries, one file each.

    Args:
        folder: where they are; None keeps none. By default the user's cache folder, or what ``STREAMCAM_CACHE`` names
            (``off`` keeps none).

    Attributes:
        folder: where they are; None where none are kept.
    """

    def __init__(self, folder: Path | str | None = "") -> None:
        if folder == "":
            configured = os.environ.get("STREAMCAM_CACHE", "")
            folder = None if configured == "off" else Path(configured or user_cache_path("streamcam", appauthor=False))
        self.folder = None if folder is None else Path(folder)

    def cache_key(self, *parts: Any) -> str:
        """A name for what depends on ``parts``, on this machine and this software; empty where nothing can be kept."""
        if self.folder is None:
            return ""
        try:
            identity = json.dumps([fingerprint_value(parts), fingerprint_environment()], sort_keys=True)
        except _NotCacheable:
            return ""
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def get_info(self, key: str) -> ModelInfo | None:
        """What is known of a model."""

        def read(entry: zipfile.ZipFile) -> ModelInfo:
            record = json.loads(entry.read("info.json"))
            plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
            return ModelInfo(**plain)

        return self._read(key, read)

    def put_info(self, key: str, info: ModelInfo) -> None:
        """Keeps what is known of a model."""
        names = ("name", "input_size", "accepts_any_size", "preprocess_name", "labels", "notes")
        self._write(key, {"info.json": json.dumps({name: getattr(info, name) for name in names}).encode()})

    def get_method(self, key: str) -> TunedMethod | None:
        """A plan that is ready to start."""

        def read(entry: zipfile.ZipFile) -> TunedMethod:
            record = json.loads(entry.read("plan.json"))
            return TunedMethod(
                _read_method(record["plan"], entry), record["precision"], record["xla"], tuple(record["notes"])
            )

        return self._read(key, read)

    def put_method(self, key: str, tuned: TunedMethod) -> None:
        """Keeps a plan, where that is possible."""
        method = tuned.method
        if not method.is_serializable:
            return
        graphs = {"first": method.first}
        record = {name: getattr(method, name) for name in _METHOD_FIELDS}
        if method.passes is not None:
            graphs |= {"step": method.passes.step, "last": method.passes.finish}
            record["passes"] = {name: getattr(method.passes, name) for name in _MULTI_PASS_FIELDS}
        record["programs"] = {
            name: {
                "inputs": one.inputs,
                "outputs": one.outputs,
                "rewritten": one.cpu_precision,
                "weights": list(one.weights),
            }
            for name, one in graphs.items()
        }
        whole = {"plan": record, "precision": tuned.precision, "xla": tuned.xla, "notes": tuned.notes}
        files: dict[str, bytes | memoryview] = {"plan.json": json.dumps(whole).encode()}
        for name, graph in graphs.items():
            files[f"{name}.pb"] = graph.graph_def.SerializeToString()
            files |= {_weight_file(name, n): _to_bytes(value) for n, value in enumerate(graph.weights.values())}
        self._write(key, files)

    def get_text(self, key: str) -> str | None:
        """What was found out about this machine."""
        return self._read(key, lambda entry: entry.read("finding.txt").decode())

    def put_text(self, key: str, text: str) -> None:
        """Keeps what was found out about this machine."""
        self._write(key, {"finding.txt": text.encode()})

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
                elif _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= MAX_CACHE_BYTES:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


_METHOD_FIELDS = (
    "size",
    "batch",
    "layer",
    "layer_summary",
    "native_precision",
    "metric_names",
    "needs_input_gradient",
    "notes",
)
_MULTI_PASS_FIELDS = ("passes_per_run", "num_passes", "num_state_tensors", "is_mean")


def _read_method(record: dict[str, Any], entry: zipfile.ZipFile) -> FrozenMethod:
    def read_graph(name: str) -> FrozenGraph:
        graph_def = tf.compat.v1.GraphDef()
        graph_def.ParseFromString(entry.read(f"{name}.pb"))
        graph_record = record["programs"][name]
        nodes = {node.name: node for node in graph_def.node}
        if not nodes.keys() >= {node_name(tensor) for tensor in (*graph_record["inputs"], *graph_record["outputs"])}:
            raise ValueError(f"{name} is not whole")
        weights = {
            one: _to_array(nodes[one], entry.read(_weight_file(name, n)))
            for n, one in enumerate(graph_record["weights"])
        }
        return FrozenGraph(
            graph_def, tuple(graph_record["inputs"]), tuple(graph_record["outputs"]), weights, graph_record["rewritten"]
        )

    passes = None
    if "passes" in record:
        passes = FrozenMultiPass(
            read_graph("step"), read_graph("last"), **{name: record["passes"][name] for name in _MULTI_PASS_FIELDS}
        )
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v := record[name], list) else v for name in _METHOD_FIELDS}
    return FrozenMethod(first=read_graph("first"), passes=passes, **plain)


def _weight_file(graph: str, n: int) -> str:
    return f"{graph}-{n}.weight"


def _to_bytes(value: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data


def _to_array(placeholder: Any, data: bytes) -> NDArray[Any]:
    kind = tf.dtypes.as_dtype(placeholder.attr["dtype"].type).as_numpy_dtype
    return np.frombuffer(data, kind).reshape([one.size for one in placeholder.attr["shape"].shape.dim])


def fingerprint_value(value: Any) -> Any:
    """A value as JSON, with size and time of change of each file that it names."""
    if hasattr(value, "__dataclass_fields__"):
        return fingerprint_value({name: getattr(value, name) for name in value.__dataclass_fields__})
    if isinstance(value, Mapping):
        return {str(name): fingerprint_value(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [fingerprint_value(one) for one in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, (str, os.PathLike)) or is_function_path(os.fspath(value).strip()):
        raise _NotCacheable
    text = os.fspath(value)
    if not text:
        return text
    path = expand_path(text)
    try:
        if path.is_file():
            return [str(path.resolve()), _stat_fingerprint(path)]
        if (path / _SAVED_MODEL).is_file():
            folders = sorted(os.walk(path, followlinks=True))
            return [
                str(path.resolve()),
                [_stat_fingerprint(Path(folder, name)) for folder, _, names in folders for name in sorted(names)],
            ]
    except OSError:
        raise _NotCacheable from None
    return text


def _stat_fingerprint(path: Path) -> tuple[str, int, int, int, int]:
    found = path.stat()
    # The time of change and the inode tell files apart that were copied together with their times.
    return str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def fingerprint_environment() -> dict[str, Any]:
    """What else decides what is compiled: our code, TensorFlow, and the hardware."""
    root = Path(__file__).resolve().parents[2]
    code = [
        _stat_fingerprint(path)
        for package in HASHED_PACKAGES
        for path in ([root / package] if package.endswith(".py") else sorted((root / package).rglob("*")))
        if path.is_file()
    ]
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "code": [one for one in code if not one[0].endswith(".pyc")],
        "versions": [tf.__version__, version("keras")],
        "cpu": _cpu_fingerprint(),
        "threads": default_intra_op_threads(),
        "cards": [{name: str(value) for name, value in sorted(card.items())} for card in gpus],
        "environment": {name: v for name, v in sorted(os.environ.items()) if name.startswith(_HASHED_VARIABLES)},
    }


def _cpu_fingerprint() -> list[str]:
    with contextlib.suppress(OSError):
        fields = ("model name", "flags", "cpu family", "model")
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        return [line for line in lines if line.partition("\t")[0].strip() in fields]
    return [platform.machine(), platform.processor()]
