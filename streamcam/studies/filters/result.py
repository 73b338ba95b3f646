"""The result of a study of filters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...frames import RgbImage
from .filter_image import FilterImage
from .sheet import draw_result


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
        history_steps: steps whose images were kept for a video, the first and the last among them.
    """

    filters: tuple[FilterImage, ...]
    model: str
    layer: str
    size: tuple[int, int]
    steps: int
    seed: int
    notes: tuple[str, ...] = ()
    history_steps: tuple[int, ...] = ()

    def sheet(self) -> RgbImage:
        """Return all images as one, each below its title, ``uint8 (H, W, 3)`` RGB."""
        return draw_result(self.filters)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the sheet, or a video of its ascent.

        Args:
            path: file to write: ``.png`` or ``.jpg``; or ``.mp4``, ``.gif`` or another suffix of videos, if the study
                has a history.
            overwrite: replace an existing file.

        Raises:
            UnknownFormatError: another suffix.
            OptionError: a video without a history.
            SinkError: the file exists already, or cannot be written.
        """
        from .files import save

        save(Path(path), self.filters, self.history_steps, self.model, overwrite=overwrite)

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
                    "peak": one.peak,
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
