"""How many encoders work at once, and on how long segments."""

from __future__ import annotations

from typing import Literal

from ..concurrency.cpus import cpu_count
from ..frames import SourceInfo
from .encoder_settings import SEGMENT_THREADS

MAX_WAITING_BYTES = 1 << 30
"""Bytes of the frames that wait for an encoder: 345 frames of 1080p, 86 of 4K UHD."""

MIN_SEGMENT_FRAMES = 48
"""Shorter groups of pictures are joined into a segment: an encoder begins and ends each with idle threads."""

_ENCODER_CORES = (3, 4)
"""The part of the cores that ``auto`` gives to encoders; decoder, model and drawing need the others."""


def segment_frames(gop_size: int) -> int:
    """Return how many frames a segment has: whole groups of pictures, which begin with a keyframe anyway.

    Args:
        gop_size: most frames from one keyframe to the next.
    """
    return gop_size * -(-MIN_SEGMENT_FRAMES // gop_size)


def choose_encoders(wanted: int | Literal["auto"], info: SourceInfo, frames: int) -> int:
    """Return how many encoders work at once.

    Args:
        wanted: ``--encoders``; ``auto`` follows the cores, and the memory of the frames that wait.
        info: the source.
        frames: frames in a segment.
    """
    if wanted != "auto":
        return wanted
    part, whole = _ENCODER_CORES
    by_cores = cpu_count() * part // whole // SEGMENT_THREADS
    # With n encoders, frames * (n - 1) / 2 frames wait.
    by_memory = 1 + 2 * MAX_WAITING_BYTES // (frames * info.frame_bytes)
    return max(1, min(by_cores, by_memory))
