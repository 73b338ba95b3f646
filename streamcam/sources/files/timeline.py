"""Timestamps of frames and packets: shifted to the output's zero, strictly increasing."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

BACKWARD_JUMP_SECONDS = Fraction(1)
"""A step back by more seconds than this is a new recording, not a wrong timestamp."""

FORWARD_JUMP_SECONDS = Fraction(3600)
"""So is a step ahead by more than this: FFmpeg takes some steps back for a clock that wraps around."""

MAX_GAP_SECONDS = Fraction(31 * 86400)
"""In files without a clock that wraps around, gaps are intended, but none is longer than this."""


@dataclass(slots=True)
class Timeline:
    """The clock of one stream of frames.

    Attributes:
        time_base: seconds per tick.
        step_ticks: ticks from one frame to the next, for files without times.
        shift_seconds: seconds to subtract from the times of the first recording.
        max_gap_seconds: seconds ahead that begin a new recording; None if gaps may have any length.
        shift_ticks: ticks subtracted from the times of each recording so far.
        last_pts: pts assigned last, None before the first.
        num_corrected: timestamps that did not increase.
        num_jumps: timestamps that were far ahead.
    """

    time_base: Fraction
    step_ticks: int
    shift_seconds: Fraction = Fraction(0)
    max_gap_seconds: Fraction | None = None
    shift_ticks: list[int] = field(init=False)
    last_pts: int | None = None
    num_corrected: int = 0
    num_jumps: int = 0

    def __post_init__(self) -> None:
        self.shift_ticks = [floor(self.shift_seconds / self.time_base)]

    def span_ticks(self, begin_seconds: Fraction, end_seconds: Fraction) -> tuple[int, int]:
        """Return pts and duration in ticks for a time span."""
        pts = ceil(begin_seconds / self.time_base)
        return pts, max(1, int(end_seconds / self.time_base) - pts)

    def assign_pts(self, pts: int) -> int:
        """Return the next frame's output pts, greater than all before.

        Args:
            pts: of the decoded frame.
        """
        output_pts = pts - self.shift_ticks[-1]
        if self.last_pts is not None:
            late_seconds = (self.last_pts + self.step_ticks - output_pts) * self.time_base
            went_backwards = output_pts <= self.last_pts
            jumped = self.max_gap_seconds is not None and -late_seconds > self.max_gap_seconds
            self.num_corrected += went_backwards
            self.num_jumps += jumped
            if jumped or (went_backwards and late_seconds > BACKWARD_JUMP_SECONDS):
                output_pts = self.last_pts + self.step_ticks
                self.shift_ticks.append(pts - output_pts)
            elif went_backwards:
                output_pts = self.last_pts + 1
        self.last_pts = output_pts
        return output_pts

    @property
    def reached_seconds(self) -> Fraction:
        """Time in the file of the last frame; before the first, of the beginning."""
        return ((self.last_pts or 0) + self.shift_ticks[-1]) * self.time_base

    def recording_shift_seconds(self, recording: int) -> Fraction:
        """Return the seconds to subtract from the times of a recording.

        A number beyond the last recording counts as the last.
        """
        return self.shift_ticks[min(recording, len(self.shift_ticks) - 1)] * self.time_base
