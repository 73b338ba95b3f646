"""Sheets of a training run: a header line, and curves with a cursor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..frames import RgbImage
from ..geometry import Size

_BACKGROUND, _MUTED, _GRID = 24, 150, 52
_COLORS = (255, 170, 64), (92, 190, 255)
_TEXT_SIZE, _HEADER_HEIGHT = 14, 28
_SIDE, _TOP, _BOTTOM = 56, 32, 24


def put_header(image: RgbImage, text: str) -> RgbImage:
    """Return an image below a line of text.

    Args:
        image: ``uint8 (H, W, 3)`` RGB.
        text: what does not fit is cut.
    """
    header = np.full((_HEADER_HEIGHT, image.shape[1], 3), _BACKGROUND, np.uint8)
    _put(header, text, (6, 19), (235, 235, 235), 600)
    return np.concatenate([header, image])


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A number over the epochs.

    Attributes:
        label: its name.
        points: ``(epoch, value)``, in order.
        color: index in the colors of the strip: 0 and 1.
        is_dashed: True for a dashed line.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    color: int
    is_dashed: bool = False


class CurveStrip:
    """Curves over the epochs, with a cursor that moves.

    Curves of one color share a scale; the first color has it at the left, the second at the right. All but the cursor
    is drawn once.

    Args:
        size: ``(width, height)``.
        curves: at least one, with at least one point each.
        span: first and last epoch.
    """

    def __init__(self, size: Size, curves: Sequence[Curve], span: tuple[float, float]) -> None:
        self._width, self._height = size
        self._curves, self._span = curves, span
        self._ranges = {color: _value_range([c for c in curves if c.color == color]) for color in (0, 1)}
        self._background = self._draw_background()

    def draw(self, epoch: float) -> RgbImage:
        """Draw the strip with the cursor at an epoch; return ``uint8 (height, width, 3)`` RGB."""
        image = self._background.copy()
        x = self._x(epoch)
        cv2.line(image, (x, _TOP), (x, self._height - _BOTTOM), (235, 235, 235), 1)
        for curve in self._curves:
            value = np.interp(epoch, [one for one, _ in curve.points], [one for _, one in curve.points])
            if curve.points[0][0] <= epoch:
                cv2.circle(image, (x, self._y(float(value), curve.color)), 4, _COLORS[curve.color], -1, cv2.LINE_AA)
        return image

    def _x(self, epoch: float) -> int:
        first, last = self._span
        return round(_SIDE + (self._width - 2 * _SIDE) * (epoch - first) / max(last - first, 1e-9))

    def _y(self, value: float, color: int) -> int:
        low, high = self._ranges[color]
        return round(self._height - _BOTTOM - (self._height - _TOP - _BOTTOM) * (value - low) / (high - low))

    def _draw_background(self) -> RgbImage:
        image = np.full((self._height, self._width, 3), _BACKGROUND, np.uint8)
        bottom = self._height - _BOTTOM
        for y in (_TOP, (_TOP + bottom) // 2, bottom):
            cv2.line(image, (_SIDE, y), (self._width - _SIDE, y), (_GRID,) * 3, 1)
        for color in {curve.color for curve in self._curves}:
            low, high = self._ranges[color]
            for value, y in ((high, _TOP), (low, bottom)):
                text = f"{value:.2g}"
                x = self._width - _SIDE + 6 if color else _SIDE - 6 - _text_width(text)
                _put(image, text, (x, y + 5), _COLORS[color])
        left = _SIDE
        for curve in self._curves:
            _put(image, curve.label, (left, 18), _COLORS[curve.color], 400 if curve.is_dashed else 600)
            left += _text_width(curve.label, 600) + 18
            self._draw_curve(image, curve)
        for epoch in self._span:
            text = f"{epoch:g}"
            _put(image, text, (self._x(epoch) - _text_width(text) // 2, self._height - 6), (_MUTED,) * 3)
        return image

    def _draw_curve(self, image: RgbImage, curve: Curve) -> None:
        points = [(self._x(epoch), self._y(value, curve.color)) for epoch, value in curve.points]
        for start, end in itertools.pairwise(points):
            length = max(1, round(float(np.hypot(end[0] - start[0], end[1] - start[1]))))
            dashes = range(0, length, 8) if curve.is_dashed else (0,)
            for at in dashes:
                stop = min(at + 4, length) if curve.is_dashed else length
                ends = [
                    tuple(round(a + (b - a) * part / length) for a, b in zip(start, end, strict=True))
                    for part in (at, stop)
                ]
                cv2.line(image, ends[0], ends[1], _COLORS[curve.color], 1 if curve.is_dashed else 2, cv2.LINE_AA)


def _value_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Return the least and largest value; from 0 if that is near, and never equal."""
    values = [value for curve in curves for _, value in curve.points]
    if not values:
        return 0.0, 1.0
    low, high = min(0.0, *values), max(values)
    return low, high if high > low else low + 1.0


def _text_width(text: str, weight: int = 400) -> int:
    return int(cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("sans"), _TEXT_SIZE, weight)[2])


def _put(image: RgbImage, text: str, origin: tuple[int, int], color: tuple[int, int, int], weight: int = 400) -> None:
    cv2.putText(image, text, origin, color, cv2.FontFace("sans"), _TEXT_SIZE, weight)
