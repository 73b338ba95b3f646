"""Many small maps in one image: a grid with a title and a scale for each group, and a label below each map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage
from ..geometry import Size
from .colormaps import colormap

_BACKGROUND, _MUTED = 24, 150
_WHITE, _MARKED = (235, 235, 235), (255, 190, 90)
_TITLE_SIZE, _TEXT_SIZE, _LABEL_SIZE = 16, 13, 11
_LINE_HEIGHT = 20
_MARGIN, _GAP = 12, 4
_TILE_SIDE, _MIN_TILE_HEIGHT, _MAX_TILE_HEIGHT = 72, 24, 144
_LABEL_HEIGHT = 15
_MAX_COLUMNS, _MIN_WIDTH = 16, 720
_IMAGE_SIDE = 144
_LEVELS = 256


@dataclass(frozen=True, slots=True, eq=False)
class MapGroup:
    """Maps that are drawn together.

    Attributes:
        title, detail: the two parts of the line above them.
        spatial_shape: rows and columns of each map.
        labels: text below each map.
        is_marked: whether that text stands out, for each map.
        low, high: values at both ends of the color map, for each map.
        colormap: name of the color map, as for `streamcam.compose.colormaps.colormap`.
    """

    title: str
    detail: str
    spatial_shape: tuple[int, int]
    labels: tuple[str, ...]
    is_marked: tuple[bool, ...]
    low: NDArray[np.floating]
    high: NDArray[np.floating]
    colormap: str


class MapGrid:
    """Draws groups of maps below an image and some lines of text.

    Everything but maps and image is drawn once.

    Args:
        header: lines of text beside the image; the first is the title.
        image_size: ``(width, height)`` of the image.
        groups: the maps.

    Attributes:
        size: ``(width, height)`` of the result; both are even.
    """

    def __init__(self, header: Sequence[str], image_size: Size, groups: Sequence[MapGroup]) -> None:
        self._groups = groups
        scale = _IMAGE_SIDE / max(image_size)
        self._image_size = max(1, round(image_size[0] * scale)), max(1, round(image_size[1] * scale))
        self._tables = [np.rint(colormap(one.colormap, _LEVELS) * 255).astype(np.uint8) for one in groups]  # type: ignore[arg-type]
        columns = min(_MAX_COLUMNS, max(len(one.labels) for one in groups))
        width = max(_MIN_WIDTH, 2 * _MARGIN + columns * (_TILE_SIDE + _GAP) - _GAP)
        header_height = max(self._image_size[1], (len(header) + 1) * _LINE_HEIGHT)  # one more for the caption
        self._tops: list[int] = []
        bottom = header_height + 2 * _MARGIN
        for one in groups:
            self._tops.append(bottom)
            rows = -(-len(one.labels) // columns)
            bottom += _LINE_HEIGHT + _GAP + rows * (_tile_height(one) + _LABEL_HEIGHT + _GAP) + _MARGIN
        self.size = width + width % 2, bottom + bottom % 2
        self._columns = columns
        self._header = header
        self._background = self._draw_background()

    def draw(self, image: RgbImage, maps: Sequence[NDArray[np.float32]], caption: str = "") -> RgbImage:
        """Draw one frame.

        Args:
            image: ``uint8 (H, W, 3)`` RGB, of the grid's image size.
            maps: of each group, float32 ``(h, w, n)``.
            caption: a line of text below the header's lines, such as the time.

        Returns:
            A new image of `size`, ``uint8 (H, W, 3)`` RGB.
        """
        canvas = self._background.copy()
        width, height = self._image_size
        canvas[_MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width] = _resize(image, self._image_size)
        if caption:
            self._write(canvas, caption, len(self._header))
        for group, table, top, values in zip(self._groups, self._tables, self._tops, maps, strict=True):
            levels = _levels(values, group)
            tile_size = _TILE_SIDE, _tile_height(group)
            for number in range(len(group.labels)):
                left, upper = self._place(group, top, number)
                tile = _resize(table[levels[..., number]], tile_size)
                canvas[upper : upper + tile_size[1], left : left + tile_size[0]] = tile
        return canvas

    def _place(self, group: MapGroup, top: int, number: int) -> tuple[int, int]:
        """Return the left and upper edge of a map."""
        row, column = divmod(number, self._columns)
        left = _MARGIN + column * (_TILE_SIDE + _GAP)
        return left, top + _LINE_HEIGHT + _GAP + row * (_tile_height(group) + _LABEL_HEIGHT + _GAP)

    def _draw_background(self) -> RgbImage:
        canvas = np.full((self.size[1], self.size[0], 3), _BACKGROUND, np.uint8)
        for number, line in enumerate(self._header):
            self._write(canvas, line, number)
        for group, top in zip(self._groups, self._tops, strict=True):
            right = _put(canvas, group.title, (_MARGIN, top + 15), _TEXT_SIZE + 1, _WHITE, 600)
            _put(canvas, group.detail, (right + 12, top + 15), _TEXT_SIZE, (_MUTED,) * 3, 400)
            for number, (label, marked) in enumerate(zip(group.labels, group.is_marked, strict=True)):
                left, upper = self._place(group, top, number)
                baseline = upper + _tile_height(group) + _LABEL_SIZE
                _put(canvas, label, (left, baseline), _LABEL_SIZE, _MARKED if marked else (_MUTED,) * 3, 500)
        return canvas

    def _write(self, canvas: RgbImage, line: str, number: int) -> None:
        """Write a line of the header."""
        left = 2 * _MARGIN + self._image_size[0]
        size, color, weight = (_TEXT_SIZE, (_MUTED,) * 3, 400) if number else (_TITLE_SIZE, _WHITE, 600)
        _put(canvas, line, (left, _MARGIN + number * _LINE_HEIGHT + 15), size, color, weight)


def _tile_height(group: MapGroup) -> int:
    rows, columns = group.spatial_shape
    return int(np.clip(round(_TILE_SIDE * rows / columns), _MIN_TILE_HEIGHT, _MAX_TILE_HEIGHT))


def _levels(maps: NDArray[np.float32], group: MapGroup) -> NDArray[np.uint8]:
    """Return the index in the color table of each value."""
    extent = np.maximum(group.high - group.low, np.finfo(np.float32).tiny)
    with np.errstate(over="ignore"):
        position = np.clip((maps - group.low) / extent, 0, 1)
    levels: NDArray[np.uint8] = np.rint(np.nan_to_num(position) * (_LEVELS - 1)).astype(np.uint8)
    return levels


def _resize(image: RgbImage, size: Size) -> RgbImage:
    """Scale down by area, or up into blocks."""
    shrinks = image.shape[1] > size[0] or image.shape[0] > size[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8)


def _put(canvas: RgbImage, text: str, origin: tuple[int, int], size: int, color: tuple[int, ...], weight: int) -> int:
    """Write a line of text and return its right edge."""
    (right, _), _ = cv2.putText(canvas, text, origin, color, cv2.FontFace("sans"), size, weight)
    return int(right)
