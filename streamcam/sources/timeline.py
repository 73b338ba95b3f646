"""Where frames and packets stand in time: shifted to the output's zero, never standing still or running back."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

JUMP = Fraction(1)
"""A step back by more seconds than this is a new recording that starts over, not a wrong stamp."""

LEAP = Fraction(3600)
"""So is a step ahead by more than this, where clocks wrap around: FFmpeg takes some steps back for that."""


@dataclass(slots=True)
class Timeline:
    """The clock of one stream of frames.

    Attributes:
        time_base: seconds per tick.
        step: ticks from one frame to the next, where the file does not say.
        shift: seconds that are taken off the times of the first recording.
        leap: seconds ahead that are a new recording; None where gaps may be of any length.
        shifts: ticks that are taken off the times of each recording so far; as seconds in `taken_off`.
        last: pts given out last, None before the first.
        moved: how many time stamps did not increase.
        leaps: how many were far ahead.
    """

    time_base: Fraction
    step: int
    shift: Fraction = Fraction(0)
    leap: Fraction | None = None
    shifts: list[int] = field(init=False)
    last: int | None = None
    moved: int = 0
    leaps: int = 0

    def __post_init__(self) -> None:
        self.shifts = [floor(self.shift / self.time_base)]

    def place(self, pts: int) -> int:
        """The output's pts of the next frame, greater than every one before.

        Args:
            pts: of the decoded frame.
        """
        placed = pts - self.shifts[-1]
        if self.last is not None:
            late = (self.last + self.step - placed) * self.time_base
            ran_back = placed <= self.last
            leapt = self.leap is not None and -late > self.leap
            self.moved += ran_back
            self.leaps += leapt
            if leapt or (ran_back and late > JUMP):
                placed = self.last + self.step
                self.shifts.append(pts - placed)
            elif ran_back:
                placed = self.last + 1
        self.last = placed
        return placed

    def taken_off(self, recording: int) -> Fraction:
        """Seconds that are taken off the times of one of the recordings, whose number may be too large."""
        return self.shifts[min(recording, len(self.shifts) - 1)] * self.time_base
