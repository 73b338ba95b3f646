"""The caption: the explained target, in a corner on a translucent plate."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import Attribution, SourceInfo
from ..geometry import Size
from ..media.color import rgb_to_ycbcr
from ..media.planes import next_even, sample_dtype
from .yuv import BlendOp, blend_coefficients

_CACHED_PER_PANEL = 32
"""Plates cached for each panel: in a steady scene only the percentage changes, back and forth."""

_TITLE_WEIGHT, _DETAIL_WEIGHT = 600, 400
_BOX_OPACITY = 0.62
_BOX_GRAY = 0.05
_MAX_HEIGHT_RATIO = 0.45
"""A plate that would take more than this of the height omits its second line."""

MIN_IMAGE_SIDE = 32
"""Images with a shorter side, in pixels, get no caption."""

_MIN_TEXT_SIZE = 9
"""Text below this height, in pixels, cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class CaptionBox:
    """A caption and the chroma sample ``(top, left)`` of its corner."""

    blend_op: BlendOp
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
        """Return the height of capitals in the font, in pixels."""
        return round(self.size * 0.74)

    @property
    def descent(self) -> int:
        """Return the visual depth of a line below its baseline."""
        return round(self.size * 0.1)


class CaptionRenderer:
    """Renders captions for images of one size.

    Not thread-safe: it caches the last ones.

    Args:
        info: the stream they are for.
        image_size: ``(width, height)``, both even and at least `MIN_IMAGE_SIDE`.
        detail: second line, or its beginning.
        panels: how many captions a frame has.
    """

    def __init__(self, info: SourceInfo, image_size: Size, detail: str, panels: int = 1) -> None:
        self._cache_size = _CACHED_PER_PANEL * panels
        self._info = info
        self._image_size = image_size
        self._detail = detail
        self._font = cv2.FontFace("sans")
        self._cache: OrderedDict[str, CaptionBox] = OrderedDict()
        short = min(image_size)
        self._title_size = max(_MIN_TEXT_SIZE + 2, round(short * 0.044))
        self._detail_size = max(_MIN_TEXT_SIZE, round(short * 0.03))
        self._margin = 2 * max(1, round(short * 0.0125))
        self._padding = max(3, round(self._title_size * 0.45))

    def render(self, attribution: Attribution, caption_note: str = "") -> CaptionBox:
        """Render the caption of a target.

        It shows the name, and the probability or else the score in logits.

        Args:
            attribution: of the target.
            caption_note: the rest of the second line.
        """
        if attribution.probability is not None:
            value, placeholder = f"{attribution.probability:.0%}".replace("%", " %"), "00 %"
        else:
            value, placeholder = f"{attribution.score:+.2f}".replace("-", "−"), "+00.00"
        key = f"{attribution.label}\n{value}\n{caption_note}"
        if key not in self._cache:
            self._cache[key] = self._render_box(" ".join(attribution.label.split()), value, placeholder, caption_note)
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _render_box(self, label: str, value: str, placeholder: str, caption_note: str) -> CaptionBox:
        max_size = self._image_size[0] - 2 * self._margin, self._image_size[1] - 2 * self._margin
        max_width = max_size[0] - 2 * self._padding
        # A minimum width for the usual digits keeps the plate still while they change.
        name = self._truncate(label, f"  {placeholder}", self._title_size, _TITLE_WEIGHT, max_width)
        title = _Line(f"{name}  {value}".strip(), self._title_size, _TITLE_WEIGHT, 1.0)
        second_line = f"{self._detail} · {caption_note}" if caption_note else self._detail
        detail = _Line(
            self._truncate(second_line, "", self._detail_size, _DETAIL_WEIGHT, max_width),
            self._detail_size,
            _DETAIL_WEIGHT,
            0.8,
        )
        gap = round(self._title_size * 0.4)
        lines, height = [title, detail], 2 * self._padding + title.ascent + gap + detail.ascent + detail.descent
        if height > self._image_size[1] * _MAX_HEIGHT_RATIO:
            lines, height = [title], min(2 * self._padding + title.ascent, max_size[1])
        widths = [self._width(f"{name}  {placeholder}", title.size, title.weight)]
        widths += [self._width(line.text, line.size, line.weight) for line in lines]
        size = min(next_even(2 * self._padding + max(widths)), max_size[0]), next_even(height)
        ink, baseline = np.zeros(size[::-1]), self._padding
        for line in lines:
            baseline += line.ascent
            ink = np.maximum(ink, line.white * self._draw_line(line, size, baseline))
            baseline += gap
        return CaptionBox(
            self._make_blend_op(_rounded_rectangle(size, self._padding), ink), self._margin // 2, self._margin // 2
        )

    def _width(self, text: str, size: int, weight: int) -> int:
        return int(cv2.getTextSize((0, 0), text, (0, 0), self._font, size, weight)[2])

    def _truncate(self, text: str, end: str, size: int, weight: int, max_width: int) -> str:
        """Shorten a text to fit before its end, with an ellipsis."""
        if self._width(text + end, size, weight) <= max_width:
            return text
        length = bisect.bisect(
            range(1, len(text)), max_width, key=lambda n: self._width(_cut(text, n) + end, size, weight)
        )
        return _cut(text, length) if length else ""

    def _draw_line(self, line: _Line, size: Size, baseline: int) -> NDArray[np.float64]:
        mask = np.zeros(size[::-1], np.uint8)
        cv2.putText(mask, line.text, (self._padding, baseline), 255, self._font, line.size, line.weight)
        return mask / 255.0

    def _make_blend_op(self, shape: NDArray[np.float64], ink: NDArray[np.float64]) -> BlendOp:
        """Return text over plate over image, in code values."""
        (dark, neutral, _), (white, _, _) = rgb_to_ycbcr(np.array([[_BOX_GRAY] * 3, [1.0] * 3]), self._info)
        box_opacity = _BOX_OPACITY * shape * (1 - ink)
        opacity = box_opacity + ink
        color = np.divide(box_opacity * dark + ink * white, opacity, out=np.zeros_like(opacity), where=opacity > 0)
        row_opacity = opacity[0::2] + opacity[1::2]
        block_opacity = (row_opacity[:, 0::2] + row_opacity[:, 1::2]) / 4
        dtype = sample_dtype(self._info.pixel_format)
        luma_keep, luma_add = blend_coefficients(dtype, opacity, color)
        chroma_keep, chroma_add = blend_coefficients(dtype, block_opacity, np.full_like(block_opacity, neutral))
        return BlendOp(luma_keep, luma_add, chroma_keep, chroma_add, chroma_add)


def _cut(text: str, length: int) -> str:
    return f"{text[:length].rstrip()}…"


@lru_cache(maxsize=4)
def _rounded_rectangle(size: Size, radius: float) -> NDArray[np.float64]:
    """Return a rectangle with round corners, 0–1, anti-aliased."""
    width, height = size
    across = np.abs(np.arange(width) + 0.5 - width / 2)[None, :] - (width / 2 - radius)
    down = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] - (height / 2 - radius)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) - radius
    inside: NDArray[np.float64] = np.clip(0.5 - outside, 0, 1)
    return inside
