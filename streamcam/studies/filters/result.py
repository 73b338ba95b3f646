"""The result of a study of filters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...frames import RgbImage

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

    ``start``, ``end`` and ``random`` are means over all positions of the layer. ``peak`` and the activations of patches
    are those of one position. For a class, all are the logit. A ReLU6 at the end of the layer counts without its limit.

    Attributes:
        label: channel, sum of channels, or name of the class.
        channels: of the layer; empty for a class.
        class_index: None for channels.
        image: ``uint8 (size, size, 3)`` RGB.
        start: activation of the noise that the ascent begins with.
        end: activation of ``image``.
        peak: highest activation of ``image`` at one position; compare it with those of the patches.
        random: mean activation of images of random pixels.
        patches: the natural patches with the highest activation, the best first; empty if none were asked for.
        history: images at the study's ``history_steps``; those of the first octaves are smaller.
    """

    label: str
    channels: tuple[int, ...]
    class_index: int | None
    image: RgbImage
    start: float
    end: float
    peak: float
    random: float
    patches: tuple[Patch, ...] = ()
    history: tuple[RgbImage, ...] = ()


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
        from .sheet import draw_result

        return draw_result(self)

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

        save(self, Path(path), overwrite=overwrite)

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
