"""Properties of an opened file, and messages about it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error
from av.stream import Disposition

from ...errors import SourceError, count_of, redact_url
from ...frames import Chapter, FrameRange, SourceInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from ...options import SourceOptions
    from ..normalize import FrameNormalizer
    from .packet_reader import PacketReader
    from .timeline import Timeline


_MAX_FPS = 1000
_MAX_CHAPTER_SECONDS = Fraction(2_000_000)
"""Chapters later than 23 days are damage; MP4 cannot hold them in milliseconds."""


def file_info(
    container: InputContainer,
    video: VideoStream,
    normalizer: FrameNormalizer,
    options: SourceOptions,
    *,
    time_base: Fraction,
    origin_seconds: Fraction,
    is_image: bool,
    passthrough_streams: tuple[Any, ...],
) -> SourceInfo:
    """Return the properties of an opened file.

    Args:
        container: the file.
        video: the stream to read.
        normalizer: of its frames.
        options: with the requested window.
        time_base: unit of the frames' times.
        origin_seconds: time in the file at which ``options.start`` counts from.
        is_image: True for a single image.
        passthrough_streams: streams to copy.
    """
    fps, (start, end) = nominal_fps(video), options.window
    duration_seconds = None if is_image else clipped_duration_seconds(container, options)
    return SourceInfo(
        name=redact_url(options.url.removeprefix("file://")),
        width=normalizer.width,
        height=normalizer.height,
        pixel_format=normalizer.pixel_format,
        time_base=time_base,
        color=normalizer.color,
        pixel_aspect=upright_pixel_aspect(video, normalizer.width),
        average_fps=None if is_image else fps,
        num_frames=1 if is_image else expected_frames(video, options, duration_seconds, fps),
        duration_seconds=duration_seconds,
        is_image=is_image,
        on_gpu=normalizer.on_gpu,
        passthrough_streams=passthrough_streams,
        metadata=dict(container.metadata),
        chapters=clipped_chapters(container, origin_seconds + start, None if end is None else origin_seconds + end),
    )


def clipped_duration_seconds(container: InputContainer, options: SourceOptions) -> float | None:
    """Return the expected length of the window from --start to --end.

    None if unknown.
    """
    if container.duration is None:
        return None
    seconds = container.duration / 1_000_000
    return min(seconds, float(options.end or seconds)) - float(options.start or 0)


def expected_frames(
    video: VideoStream, options: SourceOptions, duration_seconds: float | None, fps: Fraction | None
) -> int | None:
    """Return how many frames to expect: declared, or estimated from the length.

    None if unknown.
    """
    if options.start is None and options.end is None and video.frames:
        return video.frames
    return None if duration_seconds is None or fps is None else max(1, round(duration_seconds * fps))


def nominal_fps(video: VideoStream) -> Fraction | None:
    """Return the frame rate of a stream.

    None if it is unknown or implausible.
    """
    fps = video.average_rate or video.guessed_rate
    return Fraction(fps) if fps and 0 < fps <= _MAX_FPS else None


def upright_pixel_aspect(video: VideoStream, width: int) -> Fraction:
    """Return the pixel aspect ratio of upright frames of this width."""
    pixel_aspect = Fraction(video.sample_aspect_ratio or 1) or Fraction(1)
    is_rotated = width != video.width and width == video.height
    return 1 / pixel_aspect if is_rotated else pixel_aspect


def clipped_chapters(
    container: InputContainer, begin_seconds: Fraction, end_seconds: Fraction | None
) -> tuple[Chapter, ...]:
    """Return the plausible chapters of a window, in seconds from its beginning."""
    last_seconds = begin_seconds + _MAX_CHAPTER_SECONDS
    last_seconds = last_seconds if end_seconds is None else min(last_seconds, end_seconds)
    chapters = []
    for raw in container.chapters():
        begin, end = (raw[edge] * Fraction(raw["time_base"] or 1) for edge in ("start", "end"))
        begin, end = max(begin, begin_seconds), min(end, last_seconds)
        if begin < end:
            chapters.append(Chapter(begin - begin_seconds, end - begin_seconds, dict(raw["metadata"])))
    return tuple(chapters)


def ignored_stream_notes(name: str, container: InputContainer) -> list[str]:
    """Return a note if the container has further videos besides cover art."""
    others = sum(not s.disposition & Disposition.attached_pic for s in container.streams.video) - 1
    return [f"{name}: {others} further video stream{'s' * (others > 1)} ignored"] if others > 0 else []


def irregularity_notes(name: str, timeline: Timeline, num_untimed: int, normalizer: FrameNormalizer) -> list[str]:
    """Return one note for each kind of irregularity that was corrected.

    Args:
        name: of the source.
        timeline: after the last frame.
        num_untimed: frames without a timestamp.
        normalizer: after the last frame.
    """
    notes = []
    if count := timeline.num_corrected:
        notes.append(f"{name}: {count_of(count, 'timestamp')} did not increase, moved")
    if count := timeline.num_jumps:
        notes.append(f"{name}: its clock jumps ahead {count_of(count, 'time')}, each treated as a new recording")
    if num_untimed:
        fps = float(1 / (timeline.step_ticks * timeline.time_base))
        notes.append(f"{name}: {count_of(num_untimed, 'frame')} without a timestamp, {fps:g} a second assumed")
    if count := normalizer.num_resized:
        notes.append(
            f"{name}: {count_of(count, 'frame')} of another size scaled to {normalizer.width}x{normalizer.height}"
        )
    return notes


def skipped_notes(name: str, reader: PacketReader, max_pixels: int, dropped_packets: int) -> list[str]:
    """Return notes about streams and frames that are not read.

    Args:
        name: of the source.
        reader: after the last packet.
        max_pixels: most pixels of a frame.
        dropped_packets: of copied streams.
    """
    notes = []
    if reader.late_streams:
        streams = "a stream that begins later is" if reader.late_streams == 1 else "streams that begin later are"
        notes.append(f"{name}: {streams} dropped")
    if dropped_packets:
        packets = f"{count_of(dropped_packets, 'packet')} of copied streams {'is' if dropped_packets == 1 else 'are'}"
        notes.append(f"{name}: {packets} dropped: too many between two frames, or with times that no file holds")
    if count := reader.refused:
        frames = "1 frame is" if count == 1 else f"{count} frames are"
        notes.append(f"{name}: {frames} dropped, larger than --max-pixels {max_pixels}")
    return notes


def early_end_notes(
    name: str, duration_seconds: Fraction | None, reached_seconds: Fraction, num_frames: int, declared_frames: int
) -> list[str]:
    """Return a note if the source ends early.

    Args:
        name: of the source.
        duration_seconds: as the container declares it.
        reached_seconds: end of the last packet.
        num_frames: frames delivered.
        declared_frames: as the container declares them; 0 if unknown.
    """
    if duration_seconds is None or duration_seconds - reached_seconds <= max(Fraction(1, 2), duration_seconds / 50):
        return []
    if declared_frames:
        return [f"{name} ends early: {num_frames} of {declared_frames} frames"]
    return [f"{name} ends early: {float(reached_seconds):.1f} of {float(duration_seconds):.1f} s"]


def no_frame_error(name: str, container: InputContainer, options: SourceOptions, skipped: int) -> SourceError:
    """Return the error of a source without a frame to deliver.

    Args:
        name: of the source.
        container: the opened file.
        options: with the requested window.
        skipped: packets that could not be decoded.
    """
    if options.start and not skipped:
        end, duration_seconds = options.end, (container.duration or 0) / 1_000_000
        until = "on" if end is None else f"to --end {float(end):g}"
        within = end is not None and float(end) <= duration_seconds
        return SourceError(
            f"{name} has no frame from --start {float(options.start):g} {until}",
            hint="no frame begins in this window" if within else f"it is {duration_seconds:.1f} s long",
        )
    if options.end and not skipped:
        return SourceError(f"{name} has no frame before --end {float(options.end):g}")
    return SourceError(
        f"none of the frames of {name} can be decoded: it is damaged or was cut short",
        hint="copy or record it again",
    )


def read_error(name: str, error: Exception, options: SourceOptions, num_frames: int) -> SourceError:
    """Return the error of a source that failed after some frames."""
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        reason = f"sent no data for {options.timeout_seconds:g} s"
    else:
        reason = f"could not be read further: {getattr(error, 'strerror', None) or error}"
    return SourceError(f"{name} {reason}, after {count_of(num_frames, 'frame')}")


def other_frames_error(name: str, frame_range: FrameRange) -> SourceError:
    """Return the error of frames that are not the planned ones."""
    first, last = frame_range.first_index, frame_range.first_index + frame_range.num_frames - 1
    return SourceError(
        f"frames {first} to {last} of {name} are not those that its packets announce: it is damaged or has changed",
        hint="process it again without --resume",
    )
