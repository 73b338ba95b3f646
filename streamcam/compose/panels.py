"""Panels of an output frame: the plain one, and one for each target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from ..frames import SourceInfo
from ..geometry import Size, scale_panel
from ..media.planes import next_even
from ..options import DrawOptions

_SCREEN = 16, 9
"""Shape of the screen that panels are arranged for."""

_NARROWER = Fraction(9, 10)
"""Fewer columns are preferred if the panels lose no more of their size on the screen than this leaves."""


@dataclass(frozen=True, slots=True)
class Panels:
    """Panels of one size, side by side and then below one another.

    Attributes:
        panel: ``(width, height)`` of each; both even.
        num_plain: how many, at the beginning, show the source alone.
        num_targets: how many show a target.
        columns: number of panels in a line.
    """

    panel: Size
    num_plain: int
    num_targets: int
    columns: int

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
    panel, num_plain = (next_even(info.width), next_even(info.height)), int(options.layout == "side-by-side")
    count = num_plain + targets
    columns = 2 if num_plain and targets == 1 else _choose_columns(panel, count)
    return Panels(scale_panel(options.size, panel, columns, -(-count // columns)), num_plain, targets, columns)


def drawn_info(options: DrawOptions, info: SourceInfo, targets: int) -> SourceInfo:
    """Return the properties of a drawn panel.

    They are those of the source, but for the size. A matrix without a tag follows from the size, so it gets one if the
    size changes.

    Args:
        options: with the size of the output.
        info: the source.
        targets: how many targets are drawn.
    """
    if not options.size:
        return info
    width, height = arrange_panels(options, info, targets).panel
    color = info.color
    if color.resolve_matrix(info.width, info.height) != color.resolve_matrix(width, height):
        color = replace(color, matrix=color.resolve_matrix(info.width, info.height))
    return replace(info, width=width, height=height, color=color)


def _choose_columns(panel: Size, count: int) -> int:
    """Return the number of columns that shows panels largest on a screen; fewer columns if that is about equal."""
    scales = {
        columns: min(Fraction(_SCREEN[0], panel[0] * columns), Fraction(_SCREEN[1], panel[1] * -(-count // columns)))
        for columns in range(1, count + 1)
    }
    enough = max(scales.values()) * _NARROWER
    return next(columns for columns, scale in scales.items() if scale >= enough)
