"""The result of `show_activations`: maps and findings of each layer, drawn and saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage
from ..options import ActivationOptions
from .activation_statistics import DUPLICATE_CORRELATION, ChannelStatistics

if TYPE_CHECKING:
    from .activation_frames import ActivationReader


@dataclass(frozen=True, slots=True, eq=False)
class LayerActivations:
    """The feature maps of one layer.

    Attributes:
        path: of the layer.
        kind: class of the layer.
        spatial_shape: rows and columns of a map.
        stride: input pixels per position, ``(vertical, horizontal)``.
        statistics: of each channel over the whole input: dead, duplicate and noise channels, smallest and largest
            value, mean and autocorrelation.
        maps: of the first frame, float32 ``(h, w, channels)``.
    """

    path: str
    kind: str
    spatial_shape: tuple[int, int]
    stride: tuple[int, int]
    statistics: ChannelStatistics
    maps: NDArray[np.float32]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.statistics.maximum)

    def strongest(self, count: int) -> tuple[int, ...]:
        """Return the channels of the largest mean activation, in their own order."""
        return tuple(sorted(int(n) for n in np.argsort(-self.statistics.mean, kind="stable")[:count]))

    def to_dict(self) -> dict[str, Any]:
        """Return counts and channel numbers as values for JSON."""
        found = self.statistics
        return {
            "path": self.path,
            "kind": self.kind,
            "shape": [*self.spatial_shape, self.channels],
            "stride": list(self.stride),
            "channels": self.channels,
            "minimum": float(found.minimum.min()),
            "maximum": float(found.maximum.max()),
            "dead": list(found.dead),
            "duplicates": list(found.duplicates),
            "duplicate_of": list(found.duplicate_of),
            "noise": list(found.noise),
            "num_dead": len(found.dead),
            "num_duplicates": len(found.duplicates),
            "num_noise": len(found.noise),
            "noise_threshold": found.noise_threshold,
        }


@dataclass(frozen=True, slots=True, eq=False)
class ActivationStudy:
    """The findings of a study of activations.

    Attributes:
        layers: from the input on if ``layers="auto"``, else as requested.
        image: the first frame as the model gets it, uint8 ``(H, W, 3)`` RGB.
        num_frames: frames in the statistics.
        input: name of the input.
        model: name of the model.
        notes: one-line announcements for the user.
        options: how its sheet is drawn.
        reader: reads the maps of all frames once more, for a grid video.
    """

    layers: tuple[LayerActivations, ...]
    image: RgbImage
    num_frames: int
    input: str
    model: str
    notes: tuple[str, ...]
    options: ActivationOptions
    reader: ActivationReader = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the findings of each layer as values for JSON."""
        return {
            "input": self.input,
            "model": self.model,
            "model_input": [self.image.shape[1], self.image.shape[0]],
            "frames": self.num_frames,
            "duplicate_correlation": DUPLICATE_CORRELATION,
            "layers": [layer.to_dict() for layer in self.layers],
            "notes": list(self.notes),
        }
