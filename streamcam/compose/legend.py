"""The legend: a small color bar with the attributions of its ends."""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np

from ..frames import Attribution, MapKind, SourceInfo
from ..geometry import Size
from ..media.planes import next_even
from ..options import CaptionPosition, DrawOptions
from .caption import MIN_TEXT_SIZE, CaptionBox, place_box
from .overlay import level_kind, opacity_and_color
from .plate import PlateMaker, add_image, rounded_rectangle

_CACHED_PER_PANEL = 32
_WEIGHT = 400
_BAR_WIDTH_RATIO, _MIN_BAR_WIDTH = 0.18, 16
_OPPOSITE: dict[CaptionPosition, CaptionPosition] = {
    "top-left": "bottom-right",
    "top-right": "bottom-left",
    "bottom-left": "top-right",
    "bottom-right": "top-left",
}


class LegendRenderer:
    """Renders the legends of images of one size.

    Not thread-safe: it caches the last ones.

    Args:
        options: colors, and the position of the caption, opposite to which the legend stands.
        info: the stream.
        image_size: ``(width, height)``, both even.
        map_kind: how the maps are shown.
        panels: how many legends a frame has.
    """

    def __init__(
        self, options: DrawOptions, info: SourceInfo, image_size: Size, map_kind: MapKind, panels: int = 1
    ) -> None:
        self._position = _OPPOSITE[options.caption_position]
        self._info, self._image_size, self._make_plate = info, image_size, PlateMaker(info)
        self._is_signed = level_kind(options, map_kind) == "signed"
        self._color = opacity_and_color(options, map_kind)[1]
        self._font = cv2.FontFace("sans")
        short = min(image_size)
        self._text_size = max(MIN_TEXT_SIZE, round(short * (options.caption_size or 1.0) * 0.03))
        self._margin = 2 * max(1, round(short * 0.0125))
        self._padding = next_even(max(3, round(self._text_size * 0.5)))
        self._cache_size = _CACHED_PER_PANEL * panels
        self._cache: OrderedDict[str, CaptionBox | None] = OrderedDict()

    def render(self, attribution: Attribution) -> CaptionBox | None:
        """Render the legend of a target; None if the image is too small for it."""
        high = f"{attribution.vmax:.2g}".replace("-", "−")
        if high not in self._cache:
            self._cache[high] = self._render_box(f"−{high}" if self._is_signed else "0", high)
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        self._cache.move_to_end(high)
        return self._cache[high]

    def _render_box(self, low: str, high: str) -> CaptionBox | None:
        text_height = round(self._text_size * 0.74)
        # The usual width of a number keeps the plate still while its digits change.
        low_width, high_width = (next_even(max(self._width(text), self._width("0.00"))) for text in (low, high))
        if not self._is_signed:
            low_width = next_even(self._width(low))
        around = 4 * self._padding + low_width + high_width
        room = self._image_size[0] - 2 * self._margin - around
        bar_width = min(next_even(round(self._image_size[0] * _BAR_WIDTH_RATIO)), room // 2 * 2)
        size = around + bar_width, next_even(2 * self._padding + text_height)
        if bar_width < _MIN_BAR_WIDTH or size[1] > self._image_size[1] // 3:
            return None
        ink = np.zeros(size[::-1], np.uint8)
        baseline = (size[1] + text_height) // 2
        bar_left = 2 * self._padding + low_width
        places = ((low, self._padding + low_width - self._width(low)), (high, bar_left + bar_width + self._padding))
        for text, left in places:
            cv2.putText(ink, text, (left, baseline), 255, self._font, self._text_size, _WEIGHT)
        plate = self._make_plate(rounded_rectangle(size, self._padding), ink)
        columns = np.linspace(0, len(self._color) - 1, bar_width // 2).round().astype(int)
        rows = max(1, next_even(text_height) // 2)
        bar = np.broadcast_to(self._color[columns], (rows, len(columns), 3))
        op = add_image(plate, self._info, bar, (size[1] // 2 - rows) // 2, bar_left // 2)
        return place_box(op, self._position, self._image_size, self._margin)

    def _width(self, text: str) -> int:
        return int(cv2.getTextSize((0, 0), text, (0, 0), self._font, self._text_size, _WEIGHT)[2])
