"""Top-level boxes of files made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcam.media.mp4_boxes import iter_boxes


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\0\0\0\x08ftyp\0\0\0\x0amdat..", [(b"ftyp", 0, 8), (b"mdat", 8, 10)]),
        (b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12..\0\0\0\x08free", [(b"mdat", 0, 18), (b"free", 18, 8)]),
        (b"\0\0\0\x08free\0\0\0\0mdat....", [(b"free", 0, 8), (b"mdat", 8, 12)]),  # a length of 0: to the end
        (b"\0\0\0\x08free\0\0\0\x07mdat", [(b"free", 0, 8)]),  # shorter than its own header
        (b"\0\0\0\x08free\0\0\0\xffmdat..", [(b"free", 0, 8), (b"mdat", 8, 255)]),  # the file is cut short
        (b"\0\0\0\x08free\0\0\0", [(b"free", 0, 8)]),
    ],
)
def test_boxes(tmp_path: Path, data: bytes, expected: list[tuple[bytes, int, int]]) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert list(iter_boxes(file)) == expected
