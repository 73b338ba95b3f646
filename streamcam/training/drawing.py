"""The images of one explanation: an overlay for each validation image, and all in one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..compose import overlay_image
from ..compose.contact_sheet import draw_sheet, scale_image
from ..compose.training_sheet import put_header
from ..frames import Heatmap, MapKind, RgbImage
from ..geometry import Geometry
from ..options import DrawOptions
from .loggers import MapRecord

CELL_SIDE = 192
"""Least length of the longer side of a drawn image: a caption does not fit into small ones."""

_MAX_CAPTION = 26
"""Characters of a caption above a cell."""


class ImageGrid:
    """Draws overlays on the validation images.

    Args:
        images: the validation images, ``uint8 (N, H, W, 3)`` RGB.
        expected: the class of each image; empty if it is not known.
        options: colors and opacity.
    """

    def __init__(self, images: NDArray[np.uint8], expected: Sequence[str], options: DrawOptions) -> None:
        height, width = images.shape[1:3]
        side = max(height, width, CELL_SIDE)
        self._images = [scale_image(image, side) for image in images]
        self._expected, self._options = tuple(expected), options
        drawn_height, drawn_width = self._images[0].shape[:2]
        # The model input is the image itself.
        self._geometry = Geometry((drawn_width, drawn_height), (width, height), (width, height))
        self.columns: int = math.ceil(math.sqrt(len(images) * float(Fraction(drawn_height, drawn_width))))

    def overlays(self, maps: Sequence[Heatmap] | NDArray[np.float32], vmax: float, map_kind: MapKind) -> list[RgbImage]:
        """Draw the map of each image over it.

        Args:
            maps: raw, float32 ``(h, w)`` each.
            vmax: attribution drawn at full strength.
            map_kind: how they are shown.
        """
        return [
            overlay_image(image, one, self._geometry, self._options, vmax=vmax, map_kind=map_kind)
            for image, one in zip(self._images, maps, strict=True)
        ]

    def captions(self, predicted: Sequence[str], probabilities: Sequence[float]) -> list[str]:
        """Return ``expected class / predicted class probability`` for each image."""
        expected = self._expected or [""] * len(predicted)
        return [_caption(*one) for one in zip(expected, predicted, probabilities, strict=True)]

    def grid(self, overlays: Sequence[RgbImage], captions: Sequence[str], header: str) -> RgbImage:
        """Return all images as one, below a header."""
        return put_header(draw_sheet(overlays, captions, self.columns), header)


def draw_record(grid: ImageGrid, record: MapRecord) -> tuple[list[RgbImage], RgbImage]:
    """Return the captioned overlay of each image, and the grid of all."""
    overlays = grid.overlays(record.maps, record.vmax, record.map_kind)
    captions = grid.captions(record.predicted, record.probabilities)
    scale = f"full color {record.vmax:g}"
    origin = record.key if record.layer == "input" else f"{record.key} at {record.layer}"
    # A caption on the image would cover its corner, where a shortcut may be.
    singles = [
        put_header(put_header(one, f"{format_epoch(record.epoch)}, {scale}"), caption)
        for one, caption in zip(overlays, captions, strict=True)
    ]
    return singles, grid.grid(overlays, captions, f"{origin}, {format_epoch(record.epoch)}, {scale}")


def _caption(expected: str, predicted: str, probability: float) -> str:
    """Join both classes, cut so that the caption fits above a cell."""
    percent = f" {probability:.0%}"
    if not expected:
        return _cut(predicted, _MAX_CAPTION - len(percent)) + percent
    length = _MAX_CAPTION - len(percent) - len(" / ")
    left = _cut(expected, max(length // 2, length - len(predicted)))
    return f"{left} / {_cut(predicted, length - len(left))}{percent}"


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def format_epoch(epoch: float) -> str:
    """Return an epoch as text: ``epoch 3``, or ``epoch 3.25`` within one."""
    return f"epoch {epoch:.0f}" if float(epoch).is_integer() else f"epoch {epoch:.2f}"
