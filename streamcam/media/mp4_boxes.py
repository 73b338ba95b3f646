"""The top-level boxes of MP4 and QuickTime files (ISO/IEC 14496-12)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Box(NamedTuple):
    """One box of a file.

    Attributes:
        type: four bytes, such as ``moov``.
        start: position of its header in the file.
        length: bytes, with the header; the file may end before them.
    """

    type: bytes
    start: int
    length: int


def iter_boxes(file: BinaryIO) -> Iterator[Box]:
    """Yield the top-level boxes in file order; stop at an impossible length."""
    size = os.fstat(file.fileno()).st_size
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4])
        length = int.from_bytes(header[8:]) if length == 1 else length or size - position
        if length < 8:
            return
        yield Box(header[4:8], position, length)
        position += length
