"""Records: the attributions and scores of a run, on the disk beside its video.

A record is a folder: `manifest.json`, and for each chunk of consecutive frames a table `frames-NNNN.jsonl` and an array
`maps-NNNN.npy`. NumPy and a JSON parser read it; docs/reference/record.md describes the format. `RecordWriter` writes a
record while the frames pass, `RecordStore` stores chunks in any order, and `open_record` reads them. This package needs
NumPy and the standard library only.
"""

from __future__ import annotations

from .folder import MANIFEST, RecordFolder, create_folder, temporary_folder
from .manifest import FORMAT_VERSION, ChunkEntry, Manifest, SourceIdentity, damaged_manifest_error, installed_versions
from .reader import Record, open_record
from .rows import RecordedFrame, StoredFrame
from .store import PackedChunk, RecordStore, pack_chunk
from .writer import RecordWriter

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "ChunkEntry",
    "Manifest",
    "PackedChunk",
    "Record",
    "RecordFolder",
    "RecordStore",
    "RecordWriter",
    "RecordedFrame",
    "SourceIdentity",
    "StoredFrame",
    "create_folder",
    "damaged_manifest_error",
    "installed_versions",
    "open_record",
    "pack_chunk",
    "temporary_folder",
]
