"""Draw feature maps with their findings: which channels, in which colors, under which labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..compose.map_grid import MapGrid, MapGroup
from ..errors import OptionError, count_of
from ..frames import RgbImage
from ..geometry import Size
from ..options import ActivationOptions

if TYPE_CHECKING:
    from .activation_results import ActivationStudy, LayerActivations

MAX_SHEET_PIXELS = 64 << 20
"""Pixels of an image: 192 MB in memory."""


class ActivationSheet:
    """Draws the frames of one study.

    Args:
        study: the study; its statistics set labels and colors.
        options: channels, scale and colors.

    Raises:
        OptionError: it would be too large.
    """

    def __init__(self, study: ActivationStudy, options: ActivationOptions) -> None:
        self._channels = [layer.strongest(options.channels) for layer in study.layers]
        height, width = study.image.shape[:2]
        groups = [
            _group(layer, channels, options) for layer, channels in zip(study.layers, self._channels, strict=True)
        ]
        self._grid = MapGrid(_header(study, options), (width, height), groups)
        if self.size[0] * self.size[1] > MAX_SHEET_PIXELS:
            raise OptionError(
                f"the sheet would have {self.size[0]}x{self.size[1]} pixels",
                expected=f"at most {MAX_SHEET_PIXELS:,} in all",
                hint="use fewer --layers or --channels",
            )

    @property
    def size(self) -> Size:
        """``(width, height)`` of the drawn images, both even."""
        return self._grid.size

    def draw(self, image: RgbImage, maps: Sequence[NDArray[np.float32]], caption: str = "") -> RgbImage:
        """Draw one frame.

        Args:
            image: the model input, uint8 ``(H, W, 3)``.
            maps: of each layer, float32 ``(h, w, channels)``.
            caption: a line of text, such as the time.
        """
        shown = [one[..., list(channels)] for one, channels in zip(maps, self._channels, strict=True)]
        return self._grid.draw(image, shown, caption)


def draw_first_frame(study: ActivationStudy) -> RgbImage:
    """Draw the maps of the first frame; return uint8 ``(H, W, 3)`` RGB.

    Raises:
        OptionError: the sheet would be too large.
    """
    return ActivationSheet(study, study.options).draw(study.image, [layer.maps for layer in study.layers])


def _header(study: ActivationStudy, options: ActivationOptions) -> list[str]:
    frames = count_of(study.num_frames, "frame")
    scale = "each channel has its own scale" if options.scale == "own" else "the channels of a layer share one scale"
    return [
        f"{study.model}: activations",
        f"{study.input}, {frames}; input {study.image.shape[1]}x{study.image.shape[0]}",
        f"Colors: {scale}, over all frames.",
        "dead: never above 0   = N: same as channel N   noise: no spatial structure",
    ]


def _group(layer: LayerActivations, channels: Sequence[int], options: ActivationOptions) -> MapGroup:
    found = layer.statistics
    low, high = found.minimum[list(channels)], found.maximum[list(channels)]
    if options.scale == "shared":
        low, high = np.full_like(low, found.minimum.min()), np.full_like(high, found.maximum.max())
    is_signed = bool(found.minimum.min() < 0)
    name: str = options.colormap
    if name == "auto":
        name = "RdBu_r" if is_signed else "viridis"
    if name == "RdBu_r":
        high = np.maximum(np.abs(low), np.abs(high))
        low = -high
    elif not is_signed:
        low = np.zeros_like(low)
    scale = f", {float(low[0]):.3g} to {float(high[0]):.3g}" if options.scale == "shared" else ""
    rows, columns = layer.spatial_shape
    labels = [_label(layer, channel) for channel in channels]
    shown = "" if len(channels) == layer.channels else f"{len(channels)} strongest of "
    return MapGroup(
        title=layer.path,
        detail=f"{columns}x{rows}, {shown}{count_of(layer.channels, 'channel')}: {len(found.dead)} dead, "
        f"{len(found.duplicates)} duplicate, {len(found.noise)} noise{scale}",
        spatial_shape=layer.spatial_shape,
        labels=tuple(labels),
        is_marked=tuple(" " in label for label in labels),
        low=low,
        high=high,
        colormap=name,
    )


def _label(layer: LayerActivations, channel: int) -> str:
    """Return the number of a channel, and its most severe finding."""
    found = layer.statistics
    if channel in found.dead:
        return f"{channel} dead"
    if channel in found.duplicates:
        return f"{channel} = {found.duplicate_of[found.duplicates.index(channel)]}"
    return f"{channel} noise" if channel in found.noise else str(channel)
