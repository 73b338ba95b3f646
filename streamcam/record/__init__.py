"""Records: the attributions and scores of a run, on the disk beside its video.

A record is a folder: `manifest.json`, and for each chunk of consecutive frames a table `frames-NNNN.jsonl` and an array
`maps-NNNN.npy`. NumPy and a JSON parser read it; docs/reference/record.md describes the format. `RecordWriter` writes a
record while the frames pass, and `open_record` reads it. This package needs NumPy and the standard library only.
"""

from __future__ import annotations

from .folder import RecordFolder
from .manifest import FORMAT_VERSION, Manifest, SourceIdentity, installed_versions
from .reader import Record, open_record
from .rows import RecordedFrame
from .writer import RecordWriter

__all__ = [
    "FORMAT_VERSION",
    "Manifest",
    "Record",
    "RecordFolder",
    "RecordWriter",
    "RecordedFrame",
    "SourceIdentity",
    "installed_versions",
    "open_record",
]
