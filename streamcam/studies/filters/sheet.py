"""The sheet of a study of filters: one cell for each filter, below its title."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ...compose.contact_sheet import draw_sheet, scale_image
from ...frames import RgbImage
from .filter_image import FilterImage, Patch

_CELL = 192
_PATCH = 62
_GAP = 3
_BACKGROUND = 24
_TITLE, _TITLE_BESIDE_PATCHES = 22, 28
"""Characters above a cell."""


def draw_result(filters: Sequence[FilterImage]) -> RgbImage:
    """Return the last images with their activations, ``uint8 (H, W, 3)`` RGB."""
    return _draw([(one, one.image, _numbers(one)) for one in filters])


def draw_ascent(filters: Sequence[FilterImage], history_steps: Sequence[int]) -> Iterator[RgbImage]:
    """Yield the sheet at each kept step, then the one of `draw_result`; all of one size."""
    for number, step in enumerate(history_steps):
        yield _draw([(one, one.history[number], f": step {step}") for one in filters])
    yield draw_result(filters)


def _draw(cells: list[tuple[FilterImage, RgbImage, str]]) -> RgbImage:
    """Draw cells with their texts, about as many columns as rows."""
    return draw_sheet(
        [_cell(image, one.patches) for one, image, _ in cells],
        [_title(one, text) for one, _, text in cells],
        math.ceil(math.sqrt(len(cells))),
    )


def _numbers(one: FilterImage) -> str:
    """Return the means; with patches also peak and best patch."""
    means = f": {one.start:.2g} → {one.end:.3g}"
    return f"{means}; {one.peak:.3g} vs {one.patches[0].activation:.3g}" if one.patches else means


def _title(one: FilterImage, text: str) -> str:
    free = (_TITLE_BESIDE_PATCHES if one.patches else _TITLE) - len(text)
    return (one.label if len(one.label) <= free else f"{one.label[: max(1, free - 1)]}…") + text


def _cell(image: RgbImage, patches: tuple[Patch, ...]) -> RgbImage:
    """Return an image with patches in a column at its right."""
    scaled_image = scale_image(image, _CELL)
    if not patches:
        return scaled_image
    height, width = scaled_image.shape[:2]
    cell = np.full((max(height, _CELL), width + _GAP + _PATCH, 3), _BACKGROUND, np.uint8)
    cell[:height, :width] = scaled_image
    for number, patch in enumerate(patches):
        scaled = scale_image(patch.image, _PATCH)
        top = number * (_PATCH + _GAP)
        cell[top : top + scaled.shape[0], width + _GAP : width + _GAP + scaled.shape[1]] = scaled
    return cell
