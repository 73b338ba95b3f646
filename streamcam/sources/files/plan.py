"""The chunks of a file, from its packets alone.

A chunk begins at a keyframe if there is one near, and is about as long as the distance of an encoder's keyframes. The
plan depends on the file and the options alone. Frames are numbered by the times of their packets, as `FileSource`
numbers them by those of its frames; a file whose packets do not show its frames with certainty has no plan.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error
from av.stream import Discard

from ...errors import SourceError, redact_url
from ...frames import FrameRange
from ..container import choose_video, open_container
from ..image_headers import is_animated_webp
from .timeline import Timeline
from .timing import GENERATE_PTS, NO_TIMESTAMPS, file_timeline, is_single_image, shown_before

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from ...options import SourceOptions

_MIN_PART = Fraction(1, 2)
"""Least part of its usual length at which a chunk ends for a keyframe."""

_MAX_PART = Fraction(5, 4)
"""Most of its usual length that the last chunk has."""

_MAX_KEYFRAME_CHUNKS = 8
"""Chunks from one keyframe to the next: the decoder begins at a keyframe for each of them."""


@dataclass(frozen=True, slots=True)
class _Times:
    """The frames of a file, in the order of presentation.

    Attributes:
        pts: as `Frame.pts`.
        keyframes: numbers of the frames that can be decoded without those before.
    """

    pts: Sequence[int]
    keyframes: Sequence[int]


def plan_file(options: SourceOptions, *, max_frames: int, every: int) -> tuple[FrameRange, ...] | None:
    """Return the chunks of a file, as `streamcam.sources.plan_chunks`."""
    times = _read_times(options)
    if times is None:
        return None
    starts = _chunk_starts(times, max_frames, every)
    if starts is None:
        return None
    ends = [*starts[1:], len(times.pts)]
    return tuple(
        FrameRange(
            number=number,
            first_index=start,
            num_frames=end - start,
            first_pts=times.pts[start],
            end_pts=times.pts[end] if end < len(times.pts) else None,
        )
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    )


def _chunk_starts(times: _Times, max_frames: int, every: int) -> list[int] | None:
    """Return the first frame of each chunk; None if keyframes are too rare."""
    num_frames, keyframes = len(times.pts), [*times.keyframes, len(times.pts)]
    if max(b - a for a, b in itertools.pairwise(keyframes)) > _MAX_KEYFRAME_CHUNKS * max_frames:
        return None
    starts = [0]
    while num_frames - starts[-1] > max_frames * _MAX_PART:
        start = starts[-1]
        near = [one for one in times.keyframes if start + max_frames * _MIN_PART < one <= start + max_frames]
        cut = near[-1] if near else start + max_frames
        cut = -(-cut // every) * every
        if cut >= num_frames:
            break
        starts.append(cut)
    return starts


def _read_times(options: SourceOptions) -> _Times | None:
    path = options.url.removeprefix("file://")
    if "://" in path or is_animated_webp(path):
        return None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe may wait
            return None
        with open_container(options) as container:
            return _read_packets(container, options)
    except (SourceError, av.error.FFmpegError, OSError, ValueError, IndexError):
        return None


def _read_packets(container: InputContainer, options: SourceOptions) -> _Times | None:
    video = choose_video(container, redact_url(options.url))
    if int(container.format.flags) & NO_TIMESTAMPS or is_single_image(container):
        return None
    container.flags |= GENERATE_PTS
    for stream in container.streams:
        if stream is not video:
            stream.discard = Discard.all
    clock = file_timeline(container, video, options)
    shown: list[tuple[int, bool]] = []
    first_key: int | None = None
    for packet in container.demux(video):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt or _is_invisible(packet, video):
            return None
        first_key = packet.pts if first_key is None and packet.is_keyframe else first_key
        if first_key is None or (packet.pts < first_key and not packet.is_discard):
            return None  # frames before the first keyframe: decoders differ in what they show of them
        if not packet.is_discard:
            shown.append((packet.pts, packet.is_keyframe))
    shown.sort()
    return _number(shown, clock.timeline, clock.begin_seconds, clock.end_seconds, has_start=bool(options.start))


def _is_invisible(packet: Packet[VideoStream], video: VideoStream) -> bool:
    """Return True for a packet of VP8 that shows no frame."""
    return video.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] >> 4 & 1


def _number(
    shown: Sequence[tuple[int, bool]],
    timeline: Timeline,
    begin_seconds: Fraction,
    end_seconds: Fraction | None,
    *,
    has_start: bool,
) -> _Times | None:
    """Return the times of a window's frames as `FileSource` does.

    None if it corrects any.
    """
    time_base = timeline.time_base
    inside = [
        (pts, is_key)
        for pts, is_key in shown
        if not (has_start and pts * time_base < begin_seconds)
        and (end_seconds is None or pts * time_base < end_seconds)
    ]
    if has_start:
        later = next((pts for pts, _ in shown if pts * time_base >= begin_seconds), None)
        before = shown[0][0] * time_base < begin_seconds
        if later is not None and before and (span := shown_before(timeline, begin_seconds, end_seconds, later)):
            inside.insert(0, (span[0], True))
    if not inside:
        return None
    pts = [timeline.assign_pts(pts) for pts, _ in inside]
    if timeline.num_corrected or timeline.num_jumps:
        return None
    keyframes = {0, *(number for number, (_, is_key) in enumerate(inside) if is_key)}
    return _Times(pts, sorted(keyframes))
