"""Where frames and packets stand in time: shifted to the output's zero, never standing still or running back."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

BACKWARD_JUMP_SECONDS = Fraction(1)
"""A step back by more seconds than this is a new recording that starts over, not a wrong stamp."""

FORWARD_JUMP_SECONDS = Fraction(3600)
"""So is a step ahead by more than this, where clocks wrap around: FFmpeg takes some steps back for that."""


@dataclass(slots=True)
class Timeline:
    """The clock of one stream of frames.

    Attributes:
        time_base: seconds per tick.
        step_ticks: ticks from one frame to the next, where the file does not say.
        shift_seconds: seconds that are taken off the times of the first recording.
        max_gap_seconds: seconds ahead that are a new recording; None where gaps may be of any length.
        shift_ticks: ticks that are taken off the times of each recording so far; as seconds in `recording_shift_seconds`.
        last_pts: pts given out last, None before the first.
        num_corrected: how many time stamps did not increase.
        num_jumps: how many were far ahead.
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

    def assign_pts(self, pts: int) -> int:
        """The output's pts of the next frame, greater than every one before.

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

    def recording_shift_seconds(self, recording: int) -> Fraction:
        """Seconds that are taken off the times of one of the recordings, whose number may be too large."""
        return self.shift_ticks[min(recording, len(self.shift_ticks) - 1)] * self.time_base
