"""A heatmap over a still RGB image, at its full resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..frames import Heatmap, MapKind, RgbImage
from ..geometry import Geometry
from ..options import DrawOptions
from .overlay import level_kind, opacity_and_color
from .upsample import LEVELS, MapUpsampler

_STRIPE_ROWS = 64
"""Rows that are blended at once: their numbers take 16 times the memory of the pixels."""


def overlay_image(
    image: RgbImage,
    heatmap: Heatmap,
    geometry: Geometry,
    options: DrawOptions,
    *,
    vmax: float,
    map_kind: MapKind = "heat",
) -> RgbImage:
    """Draw a heatmap over an image, as `FrameRenderer` does on a video.

    Args:
        image: ``uint8 (H, W, 3)``, RGB; only read.
        heatmap: raw attribution, float32 ``(h, w)``.
        geometry: position and scale of the image in the model's input.
        options: colours, opacity and layout; captions are not drawn.
        vmax: attribution drawn at full strength.
        map_kind: how the map is shown.

    Returns:
        A new image, twice as wide for ``side-by-side``. Samples without attribution are unchanged.
    """
    height, width = image.shape[:2]
    # A level covers 2×2 pixels, so a level of the doubled image covers one pixel of this one.
    doubled = replace(geometry, source=(2 * width, 2 * height))
    upsampler = MapUpsampler(doubled, (heatmap.shape[1], heatmap.shape[0]), level_kind(options, map_kind))
    opacity, color = opacity_and_color(options, map_kind)
    lowest_level = LEVELS - len(opacity)
    levels = upsampler(heatmap, vmax, 0).values
    rendered = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIPE_ROWS):
        rows = slice(top, top + _STRIPE_ROWS)
        indices = np.clip(levels[rows], lowest_level, LEVELS - 1) - lowest_level
        pixel_opacity = opacity[indices][..., None]
        rendered[rows] = np.rint(image[rows] * (1 - pixel_opacity) + 255 * color[indices] * pixel_opacity)
    return np.concatenate([image, rendered], axis=1) if options.layout == "side-by-side" else rendered
