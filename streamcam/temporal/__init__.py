"""What happens between frames: the scale that evidence is drawn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..config import TimeOptions
from ..frames import Explained

__all__ = ["over_time"]


def over_time(items: Iterable[Explained], options: TimeOptions) -> Iterator[Explained]:
    """Gives each frame the evidence that is drawn as full, `Explained.full_scale`.

    ``running`` takes the largest evidence seen so far in the stream: equal evidence looks equal from frame to
    frame, and a frame with little of it looks pale. ``frame`` takes each frame's own largest. Evidence below zero
    speaks against the class and raises no scale.
    """
    largest = 0.0
    for item in items:
        peak = max(0.0, float(item.heatmap.max(initial=0.0)))
        largest = max(largest, peak)
        match options.scale:
            case "running":
                yield replace(item, full_scale=largest)
            case "frame":
                yield replace(item, full_scale=peak)
            case fixed:
                yield replace(item, full_scale=fixed)
