"""Cache compiled methods and measurements of this machine.

The next run then starts at once. An entry is valid only while its dependencies are unchanged: the model's files, every
option, this package's code, TensorFlow, CPU and GPUs; see `streamcam.engine.runtime.fingerprint`. Functions and models
from Python live in one process only and are not cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ...models.load import ModelInfo
from ...tf import tf
from ..compiled_method import FrozenMethod
from ..compiler.graph_editor import node_name
from ..multi_pass import FrozenMultiPass
from .fingerprint import NotCacheableError, fingerprint_environment, fingerprint_value
from .frozen_graph import FrozenGraph

T = TypeVar("T")

MAX_CACHE_BYTES = 2 * 2**30
"""Most bytes of all entries; the least recently used are deleted."""

_ENTRY = re.compile(r"[0-9a-f]{32}\.zip")
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.zip\.\w{8}\.unfinished")
"""Names of entries, and of entries in writing. The user may have other files in the folder, so nothing with another
name is ever deleted."""

_ABANDONED_SECONDS = 24 * 3600
"""Seconds after which an unfinished entry counts as abandoned."""


@dataclass(frozen=True, slots=True, eq=False)
class TunedMethod:
    """A frozen method and the choices that autotuning made for it.

    Attributes:
        method: rewritten for the CPU, if it runs on one.
        precision: to run in.
        xla: whether to compile it with XLA, on a GPU.
        notes: on these choices, for the user.
    """

    method: FrozenMethod
    precision: str
    xla: bool = False
    notes: tuple[str, ...] = ()


class CompileCache:
    """A folder of entries, one file each.

    Args:
        folder: folder of the entries; None caches nothing. By default the user's cache folder, or the value of
            ``STREAMCAM_CACHE`` (``off`` caches nothing).

    Attributes:
        folder: of the entries; None caches nothing.
    """

    def __init__(self, folder: Path | str | None = "") -> None:
        if folder == "":
            configured = os.environ.get("STREAMCAM_CACHE", "")
            folder = None if configured == "off" else Path(configured or user_cache_path("streamcam", appauthor=False))
        self.folder = None if folder is None else Path(folder)

    def cache_key(self, *parts: Any) -> str:
        """Return the key of ``parts`` on this machine and software; empty if they cannot be cached."""
        if self.folder is None:
            return ""
        try:
            identity = json.dumps([fingerprint_value(parts), fingerprint_environment()], sort_keys=True)
        except NotCacheableError:
            return ""
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def get_info(self, key: str) -> ModelInfo | None:
        """Return the cached info of a model."""

        def read(entry: zipfile.ZipFile) -> ModelInfo:
            record = json.loads(entry.read("info.json"))
            plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
            return ModelInfo(**plain)

        return self._read(key, read)

    def put_info(self, key: str, info: ModelInfo) -> None:
        """Cache the info of a model."""
        names = ("name", "input_size", "accepts_any_size", "preprocess_name", "labels", "notes")
        self._write(key, {"info.json": json.dumps({name: getattr(info, name) for name in names}).encode()})

    def get_method(self, key: str) -> TunedMethod | None:
        """Return a cached method, ready to run."""

        def read(entry: zipfile.ZipFile) -> TunedMethod:
            record = json.loads(entry.read("method.json"))
            return TunedMethod(
                _read_method(record["method"], entry), record["precision"], record["xla"], tuple(record["notes"])
            )

        return self._read(key, read)

    def put_method(self, key: str, tuned: TunedMethod) -> None:
        """Cache a method, if it can be serialized."""
        method = tuned.method
        if not method.is_serializable:
            return
        graphs = {"first": method.first}
        record = {name: getattr(method, name) for name in _METHOD_FIELDS}
        if method.passes is not None:
            graphs |= {"step": method.passes.step, "finish": method.passes.finish}
            record["passes"] = {name: getattr(method.passes, name) for name in _MULTI_PASS_FIELDS}
        record["graphs"] = {
            name: {
                "inputs": one.inputs,
                "outputs": one.outputs,
                "cpu_precision": one.cpu_precision,
                "weights": list(one.weights),
            }
            for name, one in graphs.items()
        }
        whole = {"method": record, "precision": tuned.precision, "xla": tuned.xla, "notes": tuned.notes}
        files: dict[str, bytes | memoryview] = {"method.json": json.dumps(whole).encode()}
        for name, graph in graphs.items():
            files[f"{name}.pb"] = graph.graph_def.SerializeToString()
            files |= {_weight_file(name, n): _to_bytes(value) for n, value in enumerate(graph.weights.values())}
        self._write(key, files)

    def get_text(self, key: str) -> str | None:
        """Return a cached text."""
        return self._read(key, lambda entry: entry.read("text.txt").decode())

    def put_text(self, key: str, text: str) -> None:
        """Cache a text."""
        self._write(key, {"text.txt": text.encode()})

    def _read(self, key: str, read: Callable[[zipfile.ZipFile], T]) -> T | None:
        """Return the content of an entry, or None. Delete a damaged entry; keep an unreadable one."""
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
                # Any exception: one wrong bit makes zipfile and its decompressors (zlib, bz2, lzma) raise errors of a
                # dozen types, and none of them is a reason to fail.
                with contextlib.suppress(OSError):
                    path.unlink()
                return None
        # For `_prune`. Entries of other users, whose time cannot be changed, work without it.
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def _path(self, key: str) -> Path | None:
        return self.folder / f"{key}.zip" if self.folder is not None and key else None

    def _write(self, key: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Write an entry atomically; ignore a cache that cannot be written."""
        path = self._path(key)
        if path is None:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not os.access(path, os.R_OK):
                # This entry belongs to another user, who could not read a replacement.
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
        graph_record = record["graphs"][name]
        nodes = {node.name: node for node in graph_def.node}
        if not nodes.keys() >= {node_name(tensor) for tensor in (*graph_record["inputs"], *graph_record["outputs"])}:
            raise ValueError(f"{name} is incomplete")
        weights = {
            one: _to_array(nodes[one], entry.read(_weight_file(name, n)))
            for n, one in enumerate(graph_record["weights"])
        }
        return FrozenGraph(
            graph_def,
            tuple(graph_record["inputs"]),
            tuple(graph_record["outputs"]),
            weights,
            graph_record["cpu_precision"],
        )

    passes = None
    if "passes" in record:
        passes = FrozenMultiPass(
            read_graph("step"), read_graph("finish"), **{name: record["passes"][name] for name in _MULTI_PASS_FIELDS}
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
