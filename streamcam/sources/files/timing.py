"""The clock of a file and the window of it to read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from .describe import nominal_fps
from .timeline import FORWARD_JUMP_SECONDS, MAX_GAP_SECONDS, Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from ...frames import FrameRange
    from ...options import SourceOptions

GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS of a container
NO_TIMESTAMPS = 128  # AVFMT_NOTIMESTAMPS of a format
_TS_DISCONTINUOUS = 512  # AVFMT_TS_DISCONT of a format
_DEFAULT_FPS = Fraction(25)
_MIN_SHOWN_SECONDS = Fraction(1)
"""A frame from before the start belongs to the window if it is shown for longer than this in it."""


@dataclass(frozen=True, slots=True)
class FileClock:
    """The clock of a file, and the window to read.

    Attributes:
        timeline: from the times in the file to those of the frames.
        origin_seconds: time in the file at which the window's times count from.
        begin_seconds, end_seconds: of the window, in the file's time; no end is None.
    """

    timeline: Timeline
    origin_seconds: Fraction
    begin_seconds: Fraction
    end_seconds: Fraction | None

    def narrow(self, frame_range: FrameRange) -> FileClock:
        """Return the clock for a chunk of the window."""
        shift, time_base = self.timeline.shift_ticks[0], self.timeline.time_base
        begin, end = self.begin_seconds, self.end_seconds
        if frame_range.first_index:
            begin = (frame_range.first_pts + shift) * time_base
        if frame_range.end_pts is not None:
            end = (frame_range.end_pts + shift) * time_base
        return FileClock(self.timeline, self.origin_seconds, begin, end)


def file_timeline(container: InputContainer, video: VideoStream, options: SourceOptions) -> FileClock:
    """Return the clock of a file.

    Streamed formats start at any time of day; files start at zero, and a later first frame is intended.
    """
    is_streamed = int(container.format.flags) & _TS_DISCONTINUOUS
    origin_seconds = Fraction(container.start_time or 0, 1_000_000) if is_streamed else Fraction(0)
    time_base = video.time_base or Fraction(1, 90_000)
    step_ticks = max(1, round(1 / ((nominal_fps(video) or _DEFAULT_FPS) * time_base)))
    start, end = options.window
    begin_seconds = origin_seconds + start
    gap_seconds = FORWARD_JUMP_SECONDS if is_streamed else MAX_GAP_SECONDS
    return FileClock(
        Timeline(time_base, step_ticks, begin_seconds, gap_seconds),
        origin_seconds,
        begin_seconds,
        None if end is None else origin_seconds + end,
    )


def is_single_image(container: InputContainer) -> bool:
    """Return True for a file of one image."""
    return container.format.name.endswith("_pipe") or container.format.name == "image2"


def shown_before(
    timeline: Timeline, begin_seconds: Fraction, end_seconds: Fraction | None, next_pts: int
) -> tuple[int, int] | None:
    """Return pts and duration of the frame shown at a window's beginning.

    Args:
        timeline: of the file.
        begin_seconds: where the window begins, in the file's time.
        end_seconds: where it ends; None for no end.
        next_pts: of the first frame that begins within it or after it.

    Returns:
        None if that frame is shown too briefly to be a part of the window.
    """
    next_seconds = next_pts * timeline.time_base
    if next_seconds - begin_seconds <= _MIN_SHOWN_SECONDS:
        return None
    return timeline.span_ticks(begin_seconds, next_seconds if end_seconds is None else min(next_seconds, end_seconds))
