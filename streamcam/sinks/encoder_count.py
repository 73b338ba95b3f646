"""How many encoders work at once, and on how long segments."""

from __future__ import annotations

from typing import Literal

from ..concurrency.cpus import cpu_count
from ..concurrency.memory import available_memory_bytes
from ..frames import SourceInfo
from .codecs import NVENC_ENCODERS, Encoder
from .encoder_settings import SEGMENT_THREADS

MAX_WAITING_BYTES = 1 << 30
"""Bytes of the frames that wait for an encoder: 345 frames of 1080p, 86 of 4K UHD."""

MIN_SEGMENT_FRAMES = 48
"""Shorter keyframe intervals are joined into a segment: an encoder begins and ends each with idle threads."""

_ENCODER_CORES = (3, 4)
"""The part of the cores that ``auto`` gives to encoders; decoder, model and drawing need the others."""


_ENCODER_FRAMES = 64
"""The memory of an encoder, in frames: x264 takes 85 MiB for 720p, beside the frames that wait for it."""

_MEMORY_SHARE = 0.5
"""The part of the free memory that ``auto`` gives to encoders; decoder, model and drawing need the other."""


def segment_frames(gop_size: int) -> int:
    """Return how many frames a segment has: whole keyframe intervals.

    Args:
        gop_size: most frames from one keyframe to the next.
    """
    return gop_size * -(-MIN_SEGMENT_FRAMES // gop_size)


def max_waiting_bytes(encoders: int, gop_size: int, frame_bytes: int) -> int:
    """Return the memory of the frames that may wait for an encoder.

    With ``n`` encoders at work, ``(n - 1) / 2`` segments wait, as the newest has all its frames still to come and the
    oldest has none left to encode. Half a segment more lets an encoder begin before another has ended.

    Args:
        encoders: segments encoded at once.
        gop_size: most frames from one keyframe to the next.
        frame_bytes: of a frame.
    """
    return min(MAX_WAITING_BYTES, segment_frames(gop_size) * encoders * frame_bytes // 2)


def encoders_bytes(encoders: int, gop_size: int, frame_bytes: int) -> int:
    """Return the memory of several encoders and their waiting frames.

    Args:
        encoders: segments encoded at once.
        gop_size: most frames from one keyframe to the next.
        frame_bytes: of a frame.
    """
    return encoders * _ENCODER_FRAMES * frame_bytes + max_waiting_bytes(encoders, gop_size, frame_bytes)


def choose_encoders(
    wanted: int | Literal["auto"], encoder: Encoder, info: SourceInfo, gop_size: int
) -> tuple[int, str]:
    """Return how many encoders work at once, with a note.

    Args:
        wanted: ``--encoders``; ``auto`` follows the cores and the free memory.
        encoder: the encoder.
        info: the source.
        gop_size: most frames from one keyframe to the next.
    """
    if encoder in NVENC_ENCODERS.values():
        return 1, "" if wanted in ("auto", 1) else f"--encoders {wanted}: one encoder works on a GPU"
    if wanted != "auto":
        return wanted, ""
    if info.live or info.is_image:  # a live source is written as it comes
        return 1, ""
    part, whole = _ENCODER_CORES
    by_cores = cpu_count() * part // whole // SEGMENT_THREADS
    by_frames = 2 * MAX_WAITING_BYTES // (segment_frames(gop_size) * info.frame_bytes)
    free_bytes = _MEMORY_SHARE * available_memory_bytes()
    count = max(1, min(by_cores, by_frames))
    while count > 1 and encoders_bytes(count, gop_size, info.frame_bytes) > free_bytes:
        count -= 1
    return count, ""
