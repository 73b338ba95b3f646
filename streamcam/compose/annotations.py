"""Annotations of a panel: the caption and the legend."""

from __future__ import annotations

from ..frames import CaptionFacts, ExplainedFrame, MapKind, SourceInfo
from ..geometry import Size
from ..options import DrawOptions
from .caption import MIN_IMAGE_SIDE, CaptionBox, CaptionRenderer
from .legend import LegendRenderer


class Annotations:
    """Renders the boxes of each panel.

    Not thread-safe: it caches the last ones.

    Args:
        options: which of them, and how.
        info: properties of a panel, as from `panels.drawn_info`.
        panel: ``(width, height)`` of a panel, both even.
        facts: for the caption.
        map_kind: how the maps are shown.
        panels: how many targets there are.
    """

    def __init__(
        self, options: DrawOptions, info: SourceInfo, panel: Size, facts: CaptionFacts, map_kind: MapKind, panels: int
    ) -> None:
        fits = min(info.width, info.height) >= MIN_IMAGE_SIDE
        self._caption = CaptionRenderer(options, info, panel, facts, panels) if options.caption and fits else None
        self._legend = LegendRenderer(options, info, panel, map_kind, panels) if options.legend and fits else None

    def render(self, item: ExplainedFrame, panel: int) -> list[CaptionBox]:
        """Return the boxes of a target's panel."""
        boxes = [] if self._caption is None else [self._caption.render(item, panel)]
        if self._legend is not None and (legend := self._legend.render(item.attributions[panel])) is not None:
            boxes.append(legend)
        return boxes
