"""Properties in image headers that FFmpeg does not report."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path

_PNG = b"\x89PNG\r\n\x1a\n"
_WEBP_ANIMATED = 2
"""Flag in the extended header of a WebP file."""

_EXIF_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
_ORIENTATION = 0x0112
_MIRRORED = (2, 4, 5, 7)
"""EXIF orientations that mirror the image, besides rotating it."""

_NEXT_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""A marker that ends a JPEG's coded data: in it FF00 is a data byte, FFD0 to FFD7 restart it, and FFFF fills."""

_END, _SCAN = 0xD9, 0xDA


def is_animated_webp(path: str) -> bool:
    """Return True for a WebP file with the animation flag.

    The flag is in the extended header, which FFmpeg does not read.
    """
    head = _read_head(path, 21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & _WEBP_ANIMATED)


def webp_canvas_size(path: str) -> tuple[int, int]:
    """Return width and height of a WebP file with an extended header."""
    head = _read_head(path, 30)
    return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")


def is_animated_png(path: str) -> bool:
    """Return True for a PNG file with animation control (`acTL`).

    FFmpeg misses it if the first image is large.

    Chunks are laid out as in the PNG specification (W3C, third edition).
    """
    if _read_head(path, 8) != _PNG:
        return False
    with open(path, "rb") as file:
        file.seek(len(_PNG))
        while len(chunk := file.read(8)) == 8:
            length, chunk_type = struct.unpack(">I4s", chunk)
            if chunk_type in (b"acTL", b"IDAT"):
                return bytes(chunk_type) == b"acTL"
            file.seek(length + 4, 1)
    return False


def is_mirrored(path: str) -> bool:
    """Return True for an image whose EXIF orientation mirrors it.

    FFmpeg reports the rotation alone.
    """
    from PIL import Image

    if not _read_head(path, 1):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=_EXIF_FORMATS) as image:
                return image.getexif().get(_ORIENTATION) in _MIRRORED
        except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
            return False


def is_truncated(path: str) -> bool:
    """Return True for a JPEG that ends within its image data.

    FFmpeg decodes it without an error.
    """
    if _read_head(path, 3) != b"\xff\xd8\xff":
        return False
    data = Path(path).read_bytes()
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _END:
            return False
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
        if marker == _SCAN:
            found = _NEXT_MARKER.search(data, position)
            if found is None:
                return True
            position = found.start()
    return position + 4 > len(data) and data[position : position + 2] != bytes((0xFF, _END))


def _read_head(path: str, length: int) -> bytes:
    """Return the first bytes of a regular file.

    None for any other path: it could be read only once.
    """
    if not Path(path).is_file():
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(length)
    except OSError:
        return b""  # opening it reports the error
