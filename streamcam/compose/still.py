"""Evidence over a still picture in RGB, at its full resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..config import DrawOptions
from ..frames import Display, Heatmap, Pixels
from ..geometry import Geometry
from .glaze import look
from .spread import LEVELS, Spread


def overlay(
    image: Pixels,
    heatmap: Heatmap,
    geometry: Geometry,
    options: DrawOptions,
    *,
    full_scale: float,
    display: Display = "heat",
) -> Pixels:
    """Draws a map over a picture, as `Painter` does on a video.

    Args:
        image: ``uint8 (H, W, 3)``, RGB; only read.
        heatmap: raw evidence, float32 ``(h, w)``.
        geometry: how the picture lies in the model's input.
        options: colours, opacity and layout; captions are not drawn.
        full_scale: evidence that is drawn as full.
        display: how the map is shown.

    Returns:
        A new picture, twice as wide for ``side-by-side``. Where nothing is to be drawn its samples are those of the
        image.
    """
    height, width = image.shape[:2]
    # A level covers two pixels by two: of a picture of twice the size, one of this.
    twice = replace(geometry, source=(2 * width, 2 * height))
    spread = Spread(twice, (heatmap.shape[1], heatmap.shape[0]), signed=display == "signed")
    strength, colour = look(options, display)
    lowest = LEVELS - len(strength)
    levels = spread(heatmap, full_scale, 0).values
    places = np.clip(levels, lowest, LEVELS - 1) - lowest
    opaque = strength[places][..., None]
    drawn = np.rint(image * (1 - opaque) + 255 * colour[places] * opaque).astype(np.uint8)
    return np.concatenate([image, drawn], axis=1) if options.layout == "side-by-side" else drawn
