"""The bytes of GIF and WebP files that FFmpeg leaves incomplete."""

from __future__ import annotations

import contextlib
from io import SEEK_CUR, RawIOBase
from pathlib import Path

WEBP_MAX_DURATION = 2**24 - 1
"""The longest time of a WebP's frame, in milliseconds: its field has 24 bits."""


def set_last_duration(path: Path, end_milliseconds: int) -> None:
    """Set the duration of the last frame of a WebP.

    FFmpeg passes none to libwebp, which takes the mean of the others.

    An animation is a RIFF file with a chunk ``ANMF`` a frame, whose duration stands at byte 12 in 24 bits.

    Args:
        path: of the complete file.
        end_milliseconds: from the begin of the animation.
    """
    with path.open("r+b") as file:
        file.seek(12)
        durations = 0
        last: int | None = None
        while len(header := file.read(8)) == 8:
            name, size = header[:4], int.from_bytes(header[4:], "little")
            begin = file.tell()
            if name == b"ANMF":
                file.seek(begin + 12)
                last, duration = begin + 12, int.from_bytes(file.read(3), "little")
                durations += duration
            file.seek(begin + size + size % 2)
        if last is not None:
            file.seek(last)
            # libwebp makes one frame of equal ones; their sum may exceed the limit.
            file.write(min(end_milliseconds - durations + duration, WEBP_MAX_DURATION).to_bytes(3, "little"))


def truncate_to_last_image(path: Path) -> int:
    """Cut an incomplete GIF after its last whole frame; count its frames.

    Raises:
        OSError: the file cannot be read or cut.
    """
    num_frames = end = 0
    with path.open("r+b", buffering=0) as file:
        _skip_palette(file, file.read(13)[10:11])
        while (kind := file.read(1)) in (b"!", b","):
            if kind == b"!":
                file.read(1)  # the label of the extension
            else:
                _skip_palette(file, file.read(9)[8:])
                file.read(1)  # bits of the smallest code
            if not _skip_blocks(file):
                break
            if kind == b",":
                num_frames, end = num_frames + 1, file.tell()
        if num_frames:
            file.truncate(end)
            file.seek(end)
            with contextlib.suppress(OSError):  # a full disk; the file plays without its end mark
                file.write(b";")
    return num_frames


def _skip_palette(file: RawIOBase, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, SEEK_CUR)


def _skip_blocks(file: RawIOBase) -> bool:
    """Skip the blocks up to an empty one; return False if the file ends before."""
    while size := file.read(1):
        if size == b"\0":
            return True
        file.seek(size[0], SEEK_CUR)
    return False
