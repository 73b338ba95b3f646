"""Cache compiled methods and measurements of this machine.

The next run then starts at once. An entry is valid only while its dependencies are unchanged: the model's files, every
option, this package's code, TensorFlow, CPU and GPUs; see `streamcam.engine.runtime.fingerprint`. Functions and models
from Python live in one process only and are not cached. An entry counts only if this user wrote it, see
`streamcam.engine.runtime.private_folder`, and its graphs pass the allow-list of operations.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...cache_folder import cache_folder, remove_oldest
from ...models.graph_operations import refused_operation
from ...models.load import ModelInfo
from ...notes import get_logger
from ...tf import tf
from ..compiled_method import FrozenMethod
from ..compiler.graph_editor import node_name
from ..multi_pass import FrozenMultiPass
from .fingerprint import NotCacheableError, fingerprint_environment, fingerprint_value
from .frozen_graph import FrozenGraph
from .private_folder import KEY_FILE, UNFINISHED_SUFFIX, PrivateFolder

T = TypeVar("T")

logger = get_logger(__name__)

MAX_CACHE_BYTES = 2 * 2**30
"""Most bytes of all entries; the least recently used are deleted."""

_ENTRY = re.compile(r"[0-9a-f]{32}\.zip")
_UNFINISHED = re.compile(rf"(?:[0-9a-f]{{32}}\.zip|{re.escape(KEY_FILE)})\.\w{{8}}{re.escape(UNFINISHED_SUFFIX)}")
"""Names of entries, and of entries in writing. The user may have other files in the folder, so nothing with another
name is ever deleted."""

_ABANDONED_SECONDS = 24 * 3600
"""Seconds after which an unfinished entry counts as abandoned."""

_reported: set[Path] = set()
"""Folders whose refusal this process has logged."""


@dataclass(frozen=True, slots=True, eq=False)
class TunedMethod:
    """A frozen method and the choices that autotuning made for it.

    Attributes:
        method: rewritten for the CPU, if it runs on one.
        precision: to run in.
        notes: on these choices, for the user.
    """

    method: FrozenMethod
    precision: str
    notes: tuple[str, ...] = ()


class CompileCache:
    """A folder of entries, one file each.

    Args:
        folder: folder of the entries; None caches nothing. By default the user's cache folder, or the value of
            ``STREAMCAM_CACHE`` (``off`` caches nothing).

    Attributes:
        folder: of the entries; None caches nothing.
        refusal: why the folder cannot be trusted, so that nothing is cached; empty if it can.
    """

    def __init__(self, folder: Path | str | None = "") -> None:
        if folder == "":
            folder = cache_folder()
        self.folder = None if folder is None else Path(folder)
        self.refusal = "" if self.folder is None else PrivateFolder(self.folder).refusal()
        if self.folder is not None and self.refusal and self.folder not in _reported:
            _reported.add(self.folder)
            logger.warning(
                "the cache folder %s is not used: %s; change that, or set STREAMCAM_CACHE to a folder of mode 0700",
                self.folder,
                self.refusal,
            )

    def cache_key(self, *parts: Any) -> str:
        """Return the key of ``parts`` on this machine and software; empty if they cannot be cached."""
        if self.folder is None or self.refusal:
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
        record = {field.name: getattr(info, field.name) for field in fields(ModelInfo)}
        self._write(key, {"info.json": json.dumps(record).encode()})

    def get_method(self, key: str) -> TunedMethod | None:
        """Return a cached method, ready to run."""

        def read(entry: zipfile.ZipFile) -> TunedMethod:
            record = json.loads(entry.read("method.json"))
            return TunedMethod(_read_method(record["method"], entry), record["precision"], tuple(record["notes"]))

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
        whole = {"method": record, "precision": tuned.precision, "notes": tuned.notes}
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
        if self.folder is None or not key:
            return None

        def parse(file: IO[bytes]) -> T:
            with zipfile.ZipFile(file) as entry:
                return read(entry)

        return PrivateFolder(self.folder).read(f"{key}.zip", parse)

    def _write(self, key: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Write an entry atomically; ignore a cache that cannot be written."""
        if self.folder is None or not key:
            return

        def write_content(file: IO[bytes]) -> None:
            with zipfile.ZipFile(file, "w") as entry:
                for name, data in files.items():
                    entry.writestr(name, data)

        with contextlib.suppress(OSError):
            PrivateFolder(self.folder).write(f"{key}.zip", write_content)
            self._prune(self.folder)

    def _prune(self, folder: Path) -> None:
        entries = []
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                if _ENTRY.fullmatch(path.name):
                    found = path.stat()
                    entries.append((found.st_mtime, found.st_size, path))
                elif _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
        remove_oldest(entries, MAX_CACHE_BYTES)


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
        if refused := refused_operation(graph_def):
            raise ValueError(f"{name} contains {refused}")
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
