"""The caption: the explained target, in a corner on a translucent plate."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import Attribution, CaptionFacts, ExplainedFrame, SourceInfo
from ..geometry import Size
from ..media.planes import next_even
from ..options import CaptionPosition, DrawOptions
from .plate import PlateMaker, rounded_rectangle
from .yuv import BlendOp

_CACHED_PER_PANEL = 32
"""Plates cached for each panel: in a steady scene only the percentage changes, back and forth."""

_TITLE_WEIGHT, _DETAIL_WEIGHT = 600, 400
_TITLE_WHITE, _CLASS_WHITE, _DETAIL_WHITE = 1.0, 0.9, 0.8
_MAX_HEIGHT_RATIO = 0.45
"""A plate that would take more than this of the height omits lines, that of method and layer first."""

MIN_IMAGE_SIDE = 32
"""Images with a shorter side, in pixels, get no caption."""

MIN_TEXT_SIZE = 9
"""Text below this height, in pixels, cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class CaptionBox:
    """A caption and the chroma sample ``(top, left)`` of its corner."""

    blend_op: BlendOp
    top: int
    left: int


@dataclass(frozen=True, slots=True)
class _Text:
    """The words of a caption.

    Its title, the values beside it, further classes with theirs, and the last line.
    """

    label: str
    values: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    detail: str


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
        options: position, size and fields.
        info: the stream they are for.
        image_size: ``(width, height)``, both even and at least `MIN_IMAGE_SIDE`.
        facts: method, layer, targets and names of classes.
        panels: how many captions a frame has.
    """

    def __init__(
        self, options: DrawOptions, info: SourceInfo, image_size: Size, facts: CaptionFacts, panels: int = 1
    ) -> None:
        self._cache_size = _CACHED_PER_PANEL * panels
        self._position, self._top_k, self._fields = options.caption_position, options.top_k, options.caption_parts
        self._info = info
        self._make_plate = PlateMaker(info)
        self._image_size = image_size
        self._facts = facts
        self._font = cv2.FontFace("sans")
        self._cache: OrderedDict[_Text, CaptionBox] = OrderedDict()
        unit = min(image_size) * (options.caption_size or 1.0)
        self._title_size = max(MIN_TEXT_SIZE + 2, round(unit * 0.044))
        self._detail_size = max(MIN_TEXT_SIZE, round(unit * 0.03))
        self._margin = 2 * max(1, round(min(image_size) * 0.0125))
        self._padding = max(3, round(self._title_size * 0.45))

    def render(self, item: ExplainedFrame, panel: int = 0) -> CaptionBox:
        """Render the caption of a target.

        It shows the name, and the probability or else the score in logits.

        Args:
            item: the frame.
            panel: number of the target.
        """
        text = self._text(item, panel)
        if text not in self._cache:
            self._cache[text] = self._render_box(text)
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        self._cache.move_to_end(text)
        return self._cache[text]

    def _text(self, item: ExplainedFrame, panel: int) -> _Text:
        """Return the words of a caption."""
        attribution, fields, facts = item.attributions[panel], self._fields, self._facts
        values = []
        if "probability" in fields:
            values.append(_format_probability(attribution))
        if "score" in fields and not (values and attribution.probability is None):
            values.append(_format_score(attribution.score))
        others = [
            (_one_line(facts.labels[index]), _percent(probability))
            for index, probability in item.top[: self._top_k]
            if self._top_k > 1 and index != attribution.class_index and index < len(facts.labels)
        ]
        details = [getattr(facts, name) for name in ("method", "layer") if name in fields]
        if "method" in fields and facts.guess:
            details.append(f"preprocess {facts.guess}")
        if "target" in fields and panel < len(facts.targets):
            details.insert(0, f"target {facts.targets[panel]}")
        if "time" in fields:
            details.append(_format_time(float(item.frame.pts * self._info.time_base)))
        return _Text(
            _one_line(attribution.label) if "class" in fields else "",
            tuple(values),
            tuple(others),
            " · ".join(part for part in (*details, item.caption_note) if part),
        )

    def _render_box(self, text: _Text) -> CaptionBox:
        max_size = self._image_size[0] - 2 * self._margin, self._image_size[1] - 2 * self._margin
        max_width = max_size[0] - 2 * self._padding
        # A minimum width for the usual digits keeps the plate still while they change.
        rows = [(text.label, text.values, self._title_size, _TITLE_WEIGHT, _TITLE_WHITE)]
        rows += [(name, (value,), self._detail_size, _DETAIL_WEIGHT, _CLASS_WHITE) for name, value in text.others]
        lines, widths = [], []
        for name, values, size, weight, white in rows:
            if not (name or values):
                continue
            placeholder = "  ".join("00 %" if value.endswith("%") else "+00.00" for value in values)
            shown = self._truncate(name, f"  {placeholder}", size, weight, max_width)
            lines.append(_Line("  ".join([shown, *values]).strip(), size, weight, white))
            widths.append(self._width(f"{shown}  {placeholder}", size, weight))
        if text.detail or not lines:
            detail = self._truncate(text.detail, "", self._detail_size, _DETAIL_WEIGHT, max_width)
            lines.append(_Line(detail, self._detail_size, _DETAIL_WEIGHT, _DETAIL_WHITE))
        gap = round(self._title_size * 0.4)
        while (height := self._height(lines, gap)) > self._image_size[1] * _MAX_HEIGHT_RATIO and len(lines) > 1:
            lines.pop()
        if len(lines) == 1:
            height = min(height, max_size[1])
        widths = widths[: len(lines)] + [self._width(line.text, line.size, line.weight) for line in lines]
        box_size = min(next_even(2 * self._padding + max(widths)), max_size[0]), next_even(height)
        ink, baseline = np.zeros(box_size[::-1], np.uint8), self._padding
        for line in lines:
            baseline += line.ascent
            self._draw_line(line, ink, baseline)
            baseline += gap
        op = self._make_plate(rounded_rectangle(box_size, self._padding), ink)
        return place_box(op, self._position, self._image_size, self._margin)

    def _height(self, lines: Sequence[_Line], gap: int) -> int:
        height = 2 * self._padding + sum(line.ascent for line in lines) + gap * (len(lines) - 1)
        return height + (lines[-1].descent if len(lines) > 1 else 0)

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

    def _draw_line(self, line: _Line, ink: NDArray[np.uint8], baseline: int) -> None:
        white = round(255 * line.white)
        cv2.putText(ink, line.text, (self._padding, baseline), white, self._font, line.size, line.weight)


def place_box(blend_op: BlendOp, position: CaptionPosition, image_size: Size, margin: int) -> CaptionBox:
    """Put a box into a corner of an image.

    Args:
        blend_op: the box.
        position: the corner.
        image_size: ``(width, height)`` of the image, both even.
        margin: pixels between the box and the edges, even.
    """
    height, width = blend_op.chroma_keep.shape
    top = margin // 2 if position.startswith("top") else (image_size[1] - margin) // 2 - height
    left = margin // 2 if position.endswith("left") else (image_size[0] - margin) // 2 - width
    return CaptionBox(blend_op, top, left)


def _cut(text: str, length: int) -> str:
    return f"{text[:length].rstrip()}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _format_probability(attribution: Attribution) -> str:
    """Format the probability; the score if there is none."""
    if attribution.probability is None:
        return _format_score(attribution.score)
    return _percent(attribution.probability)


def _percent(probability: float) -> str:
    return f"{probability:.0%}".replace("%", " %")


def _format_score(score: float) -> str:
    return f"{score:+.2f}".replace("-", "−")


def _format_time(seconds: float) -> str:
    """Format a time as ``1:02.50`` or ``1:00:02.50``."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 100:05.2f}" if hours else f"{minutes}:{rest / 100:05.2f}"
