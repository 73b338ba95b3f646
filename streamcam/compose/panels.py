"""Panels of an output frame: the plain one, and one for each target."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..frames import SourceInfo
from ..geometry import Size
from ..media.planes import next_even
from ..options import DrawOptions


@dataclass(frozen=True, slots=True)
class Panels:
    """Panels of one size, side by side and then below one another.

    Attributes:
        panel: ``(width, height)`` of each; both even.
        num_plain: how many, at the beginning, show the source alone.
        num_targets: how many show a target.
    """

    panel: Size
    num_plain: int
    num_targets: int

    @property
    def columns(self) -> int:
        """Number of panels in a line."""
        count = self.num_plain + self.num_targets
        return count if count <= 2 else math.ceil(count**0.5)

    @property
    def rows(self) -> int:
        """Number of lines."""
        return -(-(self.num_plain + self.num_targets) // self.columns)

    @property
    def size(self) -> Size:
        """``(width, height)`` of the whole frame; both even."""
        return self.panel[0] * self.columns, self.panel[1] * self.rows

    @property
    def origins(self) -> list[tuple[int, int]]:
        """``(top, left)`` of each, in pixels: the plain ones, the drawn ones, and those that stay empty."""
        return [
            (n // self.columns * self.panel[1], n % self.columns * self.panel[0])
            for n in range(self.columns * self.rows)
        ]


def arrange_panels(options: DrawOptions, info: SourceInfo, targets: int) -> Panels:
    """Return the panels for a number of targets."""
    return Panels((next_even(info.width), next_even(info.height)), int(options.layout == "side-by-side"), targets)
