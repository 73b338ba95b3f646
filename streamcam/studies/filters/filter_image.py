"""The image of one filter, and its patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

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
