"""The playable part of a video file after a failed write."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

import av
import av.error

from ..errors import SinkError
from .frame_times import FrameGapError
from .mp4 import truncate_to_last_fragment
from .output_file import OutputFile

WRITE_ERRORS = (av.error.FFmpegError, OSError, ValueError)
"""Errors of the muxer, the encoder and the disk."""

_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def salvage(file: OutputFile, *, fragmented: bool) -> int:
    """Cut an incomplete file to the part that plays; count its frames.

    A file without a frame is removed.

    Args:
        file: reserved, and closed by the muxer.
        fragmented: MP4 or QuickTime, cut to the last whole fragment.
    """
    num_frames = 0
    with contextlib.suppress(*WRITE_ERRORS):
        if not fragmented or truncate_to_last_fragment(file.path):
            num_frames = count_frames(file.path)
    if not num_frames:
        file.discard()
    return num_frames


def count_frames(path: Path) -> int:
    """Return the number of video frames that a file holds."""
    num_frames = 0
    with av.open(f"file:{path}") as container, contextlib.suppress(*WRITE_ERRORS):
        for packet in container.demux(video=0):
            num_frames += packet.size > 0
    return num_frames


def write_error(path: Path, error: Exception, num_frames: int) -> SinkError:
    """Return the error of a failed write.

    Args:
        path: of the file.
        error: raised by the muxer, the encoder or the disk.
        num_frames: frames of the file that is left.
    """
    kept = f"its first {num_frames} frames are kept" if num_frames > 1 else "one frame is kept"
    kept = kept if num_frames else "no frame is kept"
    if isinstance(error, OSError) and error.errno in _DISK_FULL_ERRORS:
        return SinkError(f"no space left for {path}; {kept}", hint="free some space")
    hint = "choose a name that ends in .mkv" if isinstance(error, FrameGapError) else ""
    return SinkError(f"{path} cannot be written: {error_reason(error)}; {kept}", hint=hint)


def error_reason(error: Exception) -> str:
    """Return the reason that FFmpeg or the operating system gave."""
    return getattr(error, "strerror", None) or str(error)
