"""The caption: what the model saw, set in a corner on a translucent plate."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import Evidence, SourceInfo, word_of
from ..geometry import Size
from .palette import codes
from .planes import Paint, even, keep_and_add

_KEPT = 32
"""Plates kept ready for each panel: in a steady scene only the percentage changes, back and forth."""

_STRONG, _LIGHT = 600, 400
_PLATE_OPACITY = 0.62
_PLATE_GREY = 0.05
_TALLEST = 0.45
"""A plate that would take more than this of the height does without its second line."""

SMALLEST_PICTURE = 32
"""A picture with a shorter side, in pixels, has no room for a caption."""

_SMALLEST = 9
"""Text below this height, in pixels, cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A caption ready to be painted with its upper left corner at chroma sample ``(top, left)``."""

    paint: Paint
    top: int
    left: int


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    size: int
    weight: int
    white: float

    @property
    def ascent(self) -> int:
        """Height of capitals in the font, in pixels."""
        return round(self.size * 0.74)

    @property
    def descent(self) -> int:
        """What the eye takes for the depth of a line below its baseline."""
        return round(self.size * 0.1)


class Captions:
    """Makes captions for pictures of one size. Not thread-safe: it keeps those made last.

    Args:
        info: the stream they are for.
        picture: ``(width, height)``, both even and at least `SMALLEST_PICTURE`.
        detail: second line, or its beginning.
        panels: how many captions a frame has.
    """

    def __init__(self, info: SourceInfo, picture: Size, detail: str, panels: int = 1) -> None:
        self._kept = _KEPT * panels
        self._info = info
        self._picture = picture
        self._detail = detail
        self._font = cv2.FontFace("sans")
        self._plates: OrderedDict[str, Plate] = OrderedDict()
        short = min(picture)
        self._title_size = max(_SMALLEST + 2, round(short * 0.044))
        self._detail_size = max(_SMALLEST, round(short * 0.03))
        self._margin = 2 * max(1, round(short * 0.0125))
        self._padding = max(3, round(self._title_size * 0.45))

    def plate(self, evidence: Evidence, note: str = "") -> Plate:
        """The plate for a target: its name, and its probability or, where it has none, its score in logits.

        Args:
            evidence: of the target.
            note: what follows in the second line.
        """
        if evidence.probability is not None:
            value, room = f"{evidence.probability:.0%}".replace("%", " %"), "00 %"
        else:
            value, room = f"{evidence.score:+.2f}".replace("-", "−"), "+00.00"
        key = f"{evidence.label}\n{value}\n{note}"
        if key not in self._plates:
            self._plates[key] = self._made(" ".join(evidence.label.split()), value, room, note)
            if len(self._plates) > self._kept:
                self._plates.popitem(last=False)
        self._plates.move_to_end(key)
        return self._plates[key]

    def _made(self, label: str, value: str, usual: str, note: str) -> Plate:
        largest = self._picture[0] - 2 * self._margin, self._picture[1] - 2 * self._margin
        room = largest[0] - 2 * self._padding
        # Room for the usual digits at least keeps the plate still while they change.
        name = self._fitted(label, f"  {usual}", self._title_size, _STRONG, room)
        title = _Line(f"{name}  {value}".strip(), self._title_size, _STRONG, 1.0)
        told = f"{self._detail} · {note}" if note else self._detail
        detail = _Line(self._fitted(told, "", self._detail_size, _LIGHT, room), self._detail_size, _LIGHT, 0.8)
        gap = round(self._title_size * 0.4)
        lines, height = [title, detail], 2 * self._padding + title.ascent + gap + detail.ascent + detail.descent
        if height > self._picture[1] * _TALLEST:
            lines, height = [title], min(2 * self._padding + title.ascent, largest[1])
        widths = [self._width(f"{name}  {usual}", title.size, title.weight)]
        widths += [self._width(line.text, line.size, line.weight) for line in lines]
        size = min(even(2 * self._padding + max(widths)), largest[0]), even(height)
        ink, baseline = np.zeros(size[::-1]), self._padding
        for line in lines:
            baseline += line.ascent
            ink = np.maximum(ink, line.white * self._drawn(line, size, baseline))
            baseline += gap
        return Plate(self._mixed(_rounded(size, self._padding), ink), self._margin // 2, self._margin // 2)

    def _width(self, text: str, size: int, weight: int) -> int:
        return int(cv2.getTextSize((0, 0), text, (0, 0), self._font, size, weight)[2])

    def _fitted(self, text: str, end: str, size: int, weight: int, room: int) -> str:
        """As much of a text as fits in front of an end, with an ellipsis if that is not all of it."""
        if self._width(text + end, size, weight) <= room:
            return text
        kept = bisect.bisect(range(1, len(text)), room, key=lambda n: self._width(_cut(text, n) + end, size, weight))
        return _cut(text, kept) if kept else ""

    def _drawn(self, line: _Line, size: Size, baseline: int) -> NDArray[np.float64]:
        mask = np.zeros(size[::-1], np.uint8)
        cv2.putText(mask, line.text, (self._padding, baseline), 255, self._font, line.size, line.weight)
        return mask / 255.0

    def _mixed(self, shape: NDArray[np.float64], ink: NDArray[np.float64]) -> Paint:
        """Text over plate over picture: each is laid on what is below, in code values."""
        (dark, neutral, _), (white, _, _) = codes(np.array([[_PLATE_GREY] * 3, [1.0] * 3]), self._info)
        plate = _PLATE_OPACITY * shape * (1 - ink)
        opaque = plate + ink
        colour = np.divide(plate * dark + ink * white, opaque, out=np.zeros_like(opaque), where=opaque > 0)
        opaque_lines = opaque[0::2] + opaque[1::2]
        opaque_blocks = (opaque_lines[:, 0::2] + opaque_lines[:, 1::2]) / 4
        word = word_of(self._info.pixel_format)
        luma_keep, luma_add = keep_and_add(word, opaque, colour)
        chroma_keep, chroma_add = keep_and_add(word, opaque_blocks, np.full_like(opaque_blocks, neutral))
        return Paint(luma_keep, luma_add, chroma_keep, chroma_add, chroma_add)


def _cut(text: str, length: int) -> str:
    return f"{text[:length].rstrip()}…"


@lru_cache(maxsize=4)
def _rounded(size: Size, radius: float) -> NDArray[np.float64]:
    """A rectangle with round corners, 0–1, anti-aliased."""
    width, height = size
    across = np.abs(np.arange(width) + 0.5 - width / 2)[None, :] - (width / 2 - radius)
    down = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] - (height / 2 - radius)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) - radius
    inside: NDArray[np.float64] = np.clip(0.5 - outside, 0, 1)
    return inside
