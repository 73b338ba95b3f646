"""Where frames and packets stand in time: shifted to the output's zero, never standing still or running back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

_JUMP = Fraction(1)
"""A step back by more seconds than this is a new recording that starts over, not a wrong stamp."""


@dataclass(slots=True)
class Timeline:
    """The clock of one stream of frames.

    Attributes:
        time_base: seconds per tick.
        step: ticks from one frame to the next, where the file does not say.
        shift: seconds that are taken off every time; the same for packets of other streams.
        last: pts given out last, None before the first.
        moved: how many time stamps did not increase.
    """

    time_base: Fraction
    step: int
    shift: Fraction = Fraction(0)
    last: int | None = None
    moved: int = 0

    def place(self, pts: int) -> int:
        """The output's pts of the next frame, greater than every one before.

        Args:
            pts: of the decoded frame.
        """
        placed = pts - self.ticks(self.shift)
        if self.last is not None and placed <= self.last:
            self.moved += 1
            behind = (self.last + self.step - placed) * self.time_base
            if behind > _JUMP:
                self.shift -= behind
                placed = self.last + self.step
            else:
                placed = self.last + 1
        self.last = placed
        return placed

    def ticks(self, seconds: Fraction) -> int:
        """Whole ticks in ``seconds``, rounded down."""
        return floor(seconds / self.time_base)
