"""Finishing MP4 and QuickTime files: move the index to the front, cut off an incomplete end.

While a file is written, its index (``moov``) can only stand at the end. This module copies the file once with the index
before the media data, and adds the index's length to every chunk offset. All time stamps and tags stay as written. A
file whose writing failed ends within a fragment, and players refuse it; without that fragment they play the rest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from ..media.mp4_boxes import iter_boxes
from .paths import temporary_copy

_CONTAINER_BOXES = (b"trak", b"mdia", b"minf", b"stbl")
_CHUNK_BYTES = 1 << 20


def faststart(path: Path, replace: Callable[[Path, Path], None] = os.replace) -> None:
    """Rewrites ``path`` in place, as a whole or not at all.

    Args:
        path: a file with a ``moov`` box after its ``mdat``; one that has it before is left alone.
        replace: puts the copy into the place of ``path``.

    Raises:
        OSError: the disk has no space for the copy beside it.
        ValueError: it has no index, or one that cannot be moved.
    """
    with path.open("rb") as file:
        boxes = {box_type: (start, length) for box_type, start, length in iter_boxes(file)}
        if b"moov" not in boxes or b"ftyp" not in boxes or b"mdat" not in boxes:
            raise ValueError(f"{path} has no complete index")
        start, length = boxes[b"moov"]
        if start < boxes[b"mdat"][0]:
            return
        file.seek(start)
        moov = bytearray(file.read(length))
        _shift_offsets(moov, 8, length, length)
        head = sum(boxes[b"ftyp"])
        with temporary_copy(path) as target:
            file.seek(0)
            target.write(file.read(head))
            target.write(moov)
            _copy(file, target, start - head)
            file.seek(start + length)
            shutil.copyfileobj(file, target, _CHUNK_BYTES)
            target.close()
            replace(Path(target.name), path)


def truncate_to_last_fragment(path: Path) -> bool:
    """Shortens ``path`` to its last whole fragment.

    A complete file is left alone.

    Returns:
        False where not one whole fragment is left.
    """
    fragments = 0
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        whole_bytes = 0
        for box_type, start, length in iter_boxes(file):
            if box_type != b"moof" and start + length <= size:
                whole_bytes = start + length
                fragments += box_type == b"mdat"
        if 0 < whole_bytes < size:
            file.truncate(whole_bytes)
    return fragments > 0


def _shift_offsets(moov: bytearray, begin: int, end: int, shift: int) -> None:
    position = begin
    while position + 8 <= end:
        length, box_type = int.from_bytes(moov[position : position + 4]), bytes(moov[position + 4 : position + 8])
        if length < 8:
            raise ValueError("the index holds a box of impossible length")
        if box_type in _CONTAINER_BOXES:
            _shift_offsets(moov, position + 8, position + length, shift)
        elif box_type in (b"stco", b"co64"):
            count = int.from_bytes(moov[position + 12 : position + 16])
            table = np.frombuffer(moov, ">u4" if box_type == b"stco" else ">u8", count, position + 16)
            if box_type == b"stco" and count and int(table.max()) + shift >= 1 << 32:
                raise ValueError("an offset in the index exceeds 32 bits")
            table += shift
        position += length


def _copy(source: BinaryIO, target: IO[bytes], length: int) -> None:
    while length > 0:
        chunk = source.read(min(_CHUNK_BYTES, length))
        if not chunk:
            raise OSError("the file changed while it was copied")
        target.write(chunk)
        length -= len(chunk)
