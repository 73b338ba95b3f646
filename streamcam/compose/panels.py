"""Where the panels of a picture lie: the plain one, and one for each target."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..config import DrawOptions
from ..frames import SourceInfo
from ..geometry import Size
from .planes import even


@dataclass(frozen=True, slots=True)
class Panels:
    """Panels of one size, side by side and then below one another.

    Attributes:
        panel: ``(width, height)`` of each; both even.
        plain: how many, at the beginning, show the source alone.
        drawn: how many show a target.
    """

    panel: Size
    plain: int
    drawn: int

    @property
    def across(self) -> int:
        """How many there are in a line."""
        count = self.plain + self.drawn
        return count if count <= 2 else math.ceil(count**0.5)

    @property
    def down(self) -> int:
        """How many lines there are."""
        return -(-(self.plain + self.drawn) // self.across)

    @property
    def size(self) -> Size:
        """``(width, height)`` of the whole picture; both even."""
        return self.panel[0] * self.across, self.panel[1] * self.down

    @property
    def places(self) -> list[tuple[int, int]]:
        """``(top, left)`` of each, in pixels: the plain ones, the drawn ones, and those that stay empty."""
        return [
            (n // self.across * self.panel[1], n % self.across * self.panel[0]) for n in range(self.across * self.down)
        ]


def panels_of(options: DrawOptions, info: SourceInfo, targets: int) -> Panels:
    """The panels for a number of targets."""
    return Panels((even(info.width), even(info.height)), int(options.layout == "side-by-side"), targets)
