"""Whether a file is the output of a recorded run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .errors import SinkError
from .job import Job, describe_options
from .notes import get_logger
from .options import record_folder
from .record import Manifest, Record, RecordStore, SourceIdentity
from .sinks.output_file import sync_output

logger = get_logger(__name__)

_HEAD_BYTES = 4096


def describe_run(job: Job) -> dict[str, Any]:
    """Return the options of a run for its manifest.

    Paths of output and record are absolute.
    """
    sink = replace(job.sink, path=Path(os.path.abspath(job.sink.path)), resume=False)
    if isinstance(sink.record, str) and sink.record != "auto":
        sink = replace(sink, record=os.path.abspath(sink.record))
    return describe_options(replace(job, sink=sink))


def is_begun_output(record: Record, output: Path) -> bool:
    """Return True if the recorded run began this output.

    It has the recorded path, or both were moved: it lies at the same place relative to the record.

    Args:
        record: of the run.
        output: path of the file.
    """
    options = record.manifest.job["sink"]
    begun = Path(options["path"])
    kept = options.get("record")
    folder = record_folder(begun) if kept in (None, "auto") else Path(str(kept))
    if begun.is_absolute() and os.path.realpath(begun) == os.path.realpath(output):
        return True
    try:
        return os.path.relpath(begun, folder) == os.path.relpath(output, record.path)
    except ValueError:  # on two drives
        return False


def is_same_format(record: Record, job: Job) -> bool:
    """Return True if both outputs have the same suffix."""
    return Path(record.manifest.job["sink"]["path"]).suffix.lower() == job.sink.path.suffix.lower()


def with_output(record: Record, job: Job) -> Manifest:
    """Return the manifest of a record that a job continues; its output may be another one.

    Args:
        record: of the run.
        job: that continues it.
    """
    if is_begun_output(record, job.sink.path):
        return record.manifest
    now = describe_run(job)["sink"]
    options = dict(record.manifest.job)
    options["sink"] = {**options["sink"], "path": now["path"], "record": os.path.abspath(record.path)}
    return replace(record.manifest, job=options)


def finish_output(store: RecordStore, output: Path) -> None:
    """Mark an output as complete, once it is on the disk.

    Raises:
        SinkError: the output or the manifest cannot be written.
    """
    sync_output(output)
    store.finish(output.name, identify_output(output))


def identify_output(path: Path) -> dict[str, Any] | None:
    """Return size and hashes of a complete output; None if it is no regular file."""
    found = SourceIdentity.of(str(path))
    if found.sha256 is None:
        return None
    return {"size": found.size, "sha256": found.sha256, "head_sha256": _hash_head(path)}


def is_output_complete(record: Record, output: Path, *, overwrite: bool = False) -> bool:
    """Return True if record and output are complete on the disk.

    Args:
        record: of the run.
        output: path of the file.
        overwrite: another file of the name may be replaced.

    Raises:
        SinkError: another file has the name.
    """
    manifest = record.manifest
    if not record.complete or manifest.output is None or not output.exists():
        return False
    if manifest.output_file is None:
        return manifest.output == output.name
    if identify_output(output) == manifest.output_file:
        return True
    if overwrite:
        return False
    if is_begun_output(record, output) and _is_truncated(output, manifest):
        logger.warning("%s is truncated: it is written again", output)
        return False
    raise SinkError(
        f"{output} is not the output of {record.path}",
        hint="use --overwrite to replace it, or choose another name with -o",
    )


def _is_truncated(output: Path, manifest: Manifest) -> bool:
    written: Mapping[str, Any] = manifest.output_file or {}
    size = output.stat().st_size
    return size < written.get("size", 0) and (size < _HEAD_BYTES or _hash_head(output) == written.get("head_sha256"))


def _hash_head(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()
