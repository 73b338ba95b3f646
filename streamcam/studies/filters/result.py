"""The result of a study of filters."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...errors import UnknownFormatError
from ...frames import RgbImage

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_CELL = 192
_PATCH = 62
_MAX_TITLE = 22
_BACKGROUND = 24

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The part of a frame that excites a filter most.

    Attributes:
        image: ``uint8 (h, w, 3)`` RGB, as the model saw it.
        activation: at the best position of the frame; for a class, the logit of the frame.
        source: file name.
        seconds: time of the frame.
        box: the receptive field of the position, in the frame's pixels.
    """

    image: RgbImage
    activation: float
    source: str
    seconds: float
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class FilterImage:
    """The image that excites a filter most.

    The activation is the mean over all positions of the layer; for a class, the logit. If the layer ends with a ReLU6,
    it is the activation without the upper limit.

    Attributes:
        label: channel, sum of channels, or name of the class.
        channels: of the layer; empty for a class.
        class_index: None for channels.
        image: ``uint8 (size, size, 3)`` RGB.
        start: activation of the noise that the ascent begins with.
        end: activation of ``image``.
        random: mean activation of images of random pixels.
        patches: the natural patches with the highest activation, the best first; empty if none were asked for.
    """

    label: str
    channels: tuple[int, ...]
    class_index: int | None
    image: RgbImage
    start: float
    end: float
    random: float
    patches: tuple[Patch, ...] = ()

    @property
    def title(self) -> str:
        """Label and activations: first, last, and of the best patch."""
        numbers = f": {self.start:.2g} → {self.end:.3g}"
        if self.patches:
            numbers += f" ({self.patches[0].activation:.2g})"
        free = _MAX_TITLE + (4 if self.patches else 0) - len(numbers)
        label = self.label if len(self.label) <= free else f"{self.label[: free - 1]}…"
        return label + numbers


@dataclass(frozen=True, slots=True, eq=False)
class FilterStudy:
    """The result of `visualize_filters`.

    Attributes:
        filters: in the order of the request.
        model: name of the model.
        layer: path of the layer; empty if only classes were asked for.
        size: ``(width, height)`` of the images.
        steps, seed: as requested.
        notes: what the user should know.
    """

    filters: tuple[FilterImage, ...]
    model: str
    layer: str
    size: tuple[int, int]
    steps: int
    seed: int
    notes: tuple[str, ...] = ()

    def sheet(self) -> RgbImage:
        """Return all images as one, each below its title, ``uint8 (H, W, 3)`` RGB."""
        from ...compose.contact_sheet import draw_sheet

        return draw_sheet([_cell(one) for one in self.filters], [one.title for one in self.filters], self._columns)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the sheet.

        Args:
            path: file to write; its suffix is ``.png`` or ``.jpg``.
            overwrite: replace an existing file.

        Raises:
            UnknownFormatError: another suffix.
            SinkError: the file exists already, or cannot be written.
        """
        from ...compose.contact_sheet import write_titled_sheet

        check_sheet_path(Path(path), overwrite=overwrite)
        cells, titles = [_cell(one) for one in self.filters], [one.title for one in self.filters]
        write_titled_sheet(cells, titles, self._columns, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Return all but the images, for JSON."""
        return {
            "model": self.model,
            "layer": self.layer,
            "size": list(self.size),
            "steps": self.steps,
            "seed": self.seed,
            "filters": [
                {
                    "filter": one.label,
                    "channels": list(one.channels),
                    "class": one.class_index,
                    "start": one.start,
                    "end": one.end,
                    "random": one.random,
                    "patches": [
                        {"activation": p.activation, "source": p.source, "seconds": p.seconds, "box": list(p.box)}
                        for p in one.patches
                    ],
                }
                for one in self.filters
            ],
            "notes": list(self.notes),
        }

    @property
    def _columns(self) -> int:
        """About as many columns as rows."""
        return math.ceil(math.sqrt(len(self.filters)))


def check_sheet_path(path: Path, *, overwrite: bool) -> None:
    """Check that a sheet can be written.

    Raises:
        UnknownFormatError: another suffix than that of an image.
        SinkError: it exists already, or its folder cannot be written to.
    """
    from ...sinks.paths import check_output_path

    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise UnknownFormatError(f"{path} has the suffix {path.suffix!r}", expected=", ".join(SHEET_SUFFIXES))
    check_output_path(path, overwrite=overwrite)


def _cell(one: FilterImage) -> RgbImage:
    """Return the image with its patches in a column at its right."""
    from ...compose.contact_sheet import scale_image

    image = scale_image(one.image, _CELL)
    if not one.patches:
        return image
    height, width = image.shape[:2]
    cell = np.full((max(height, _CELL), width + 3 + _PATCH, 3), _BACKGROUND, np.uint8)
    cell[:height, :width] = image
    for number, patch in enumerate(one.patches):
        scaled = scale_image(patch.image, _PATCH)
        top = number * (_PATCH + 3)
        cell[top : top + scaled.shape[0], width + 3 : width + 3 + scaled.shape[1]] = scaled
    return cell
