"""Evidence over a still picture in RGB, at its full resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..frames import Heatmap, MapKind, RgbImage
from ..geometry import Geometry
from ..options import DrawOptions
from .overlay import opacity_and_color
from .upsample import LEVELS, MapUpsampler


def overlay(
    image: RgbImage,
    heatmap: Heatmap,
    geometry: Geometry,
    options: DrawOptions,
    *,
    vmax: float,
    display: MapKind = "heat",
) -> RgbImage:
    """Draws a map over a picture, as `Painter` does on a video.

    Args:
        image: ``uint8 (H, W, 3)``, RGB; only read.
        heatmap: raw evidence, float32 ``(h, w)``.
        geometry: how the picture lies in the model's input.
        options: colours, opacity and layout; captions are not drawn.
        vmax: evidence that is drawn as full.
        display: how the map is shown.

    Returns:
        A new picture, twice as wide for ``side-by-side``. Where nothing is to be drawn its samples are those of the
        image.
    """
    height, width = image.shape[:2]
    # A level covers two pixels by two: of a picture of twice the size, one of this.
    doubled = replace(geometry, source=(2 * width, 2 * height))
    upsampler = MapUpsampler(doubled, (heatmap.shape[1], heatmap.shape[0]), signed=display == "signed")
    opacity, color = opacity_and_color(options, display)
    lowest_level = LEVELS - len(opacity)
    levels = upsampler(heatmap, vmax, 0).values
    indices = np.clip(levels, lowest_level, LEVELS - 1) - lowest_level
    pixel_opacity = opacity[indices][..., None]
    rendered = np.rint(image * (1 - pixel_opacity) + 255 * color[indices] * pixel_opacity).astype(np.uint8)
    return np.concatenate([image, rendered], axis=1) if options.layout == "side-by-side" else rendered
