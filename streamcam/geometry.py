"""Fit images into the model's input, and map heatmaps back.

All coordinates are continuous: pixel ``i`` covers ``[i, i + 1)`` and its centre is ``i + 0.5``. A
`Geometry` is the affine map ``input = source * scale + offset`` per axis; the same object scales the
image down (`streamcam.sources`) and spreads the map over the image (`streamcam.compose`), so
the two cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .option_fields import check_choice
from .options import FITS, Fit, parse_size

Size: TypeAlias = tuple[int, int]
"""``(width, height)`` in pixels."""

_MAX_ASPECT_RATIO = 4
"""Aspect ratio beyond which ``native`` squeezes and ``crop`` is refused: too little of the image would remain."""


_GAUSSIAN = np.exp(-(np.arange(-3, 4) ** 2) / 2.0).astype(np.float32)
_GAUSSIAN /= _GAUSSIAN.sum()


@dataclass(frozen=True, slots=True)
class Geometry:
    """Position and scale of an upright image in the model's input.

    The whole image is scaled to ``scaled`` and its top left corner is put at ``offset`` of the input:
    positive offsets leave a border (letterbox), negative ones cut (crop).
    """

    source: Size
    input: Size
    scaled: Size
    offset: tuple[int, int] = (0, 0)

    def upsample_matrices(
        self, map_size: Size, image_size: Size | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the two matrices that spread a map over the source image: ``rows @ map @ columns.T``.

        A map of ``map_size`` cells divides the model's input evenly. Interpolation is bilinear between
        cell centres, held constant beyond the outermost centres, and zero outside the model's input
        (the parts that `crop` cut away).

        Args:
            map_size: ``(w, h)`` of the map.
            image_size: ``(W, H)`` to spread over, the source's own size by default; another size
                (half, for chroma planes) covers the same image.

        Returns:
            ``rows`` float32 ``(H, h)`` and ``columns`` float32 ``(W, w)``.
        """
        width, height = image_size or self.source
        columns = _interpolation_matrix(width, self.scaled[0], self.offset[0], self.input[0], map_size[0])
        rows = _interpolation_matrix(height, self.scaled[1], self.offset[1], self.input[1], map_size[1])
        return rows, columns


def _interpolation_matrix(
    image_length: int, scaled_length: int, offset: int, input_length: int, map_length: int
) -> NDArray[np.float32]:
    centres = (np.arange(image_length) + 0.5) * (scaled_length / image_length) + offset
    position = np.clip(centres * (map_length / input_length) - 0.5, 0, map_length - 1)
    left = np.minimum(position.astype(np.int64), max(map_length - 2, 0))
    weight = position - left
    matrix = np.zeros((image_length, map_length), np.float32)
    index = np.arange(image_length)
    matrix[index, left] = 1 - weight
    if map_length > 1:
        matrix[index, left + 1] = weight
    matrix[(centres < 0) | (centres >= input_length)] = 0
    return matrix


def fit_to_input(
    mode: Fit,
    source: Size,
    model_input: Size,
    *,
    pixel_aspect: Fraction = Fraction(1),
    stride: int = 32,
) -> Geometry:
    """Fit an upright image of ``source`` pixels into a model's input.

    Args:
        mode: ``stretch`` scales each axis on its own, so that the model sees the whole image; ``crop`` keeps
            the aspect ratio and cuts the excess; ``letterbox`` keeps it and leaves a border;
            ``native`` changes the input instead: the image's own aspect ratio at about the area of
            ``model_input``, sides a multiple of ``stride`` (fully convolutional models only).
        source: ``(width, height)`` of the image, stored pixels.
        model_input: ``(width, height)`` of the model's own input.
        pixel_aspect: width of a stored pixel over its height; aspect ratios are those of the shown
            image.
        stride: input pixels per cell of the model's last grid, for ``native``.

    Raises:
        OptionError: unknown mode, or an image too narrow for ``crop``.
    """
    check_choice("--fit", mode, FITS)
    width, height = model_input
    aspect = Fraction(source[0], source[1]) * pixel_aspect
    if mode == "crop" and not 1 / _MAX_ASPECT_RATIO <= aspect * height / width <= _MAX_ASPECT_RATIO:
        raise OptionError(
            f"{source[0]}x{source[1]} is too narrow for --fit crop", hint="use --fit stretch or letterbox"
        )
    if mode == "stretch":
        return Geometry(source, model_input, model_input)
    if mode == "native":
        aspect = min(max(aspect, Fraction(1, _MAX_ASPECT_RATIO)), Fraction(_MAX_ASPECT_RATIO))
        ideal_height = float(width * height / aspect) ** 0.5
        size = (_round_to_multiple(ideal_height * float(aspect), stride), _round_to_multiple(ideal_height, stride))
        return Geometry(source, size, size)
    scaled = letterbox_size(source, model_input, pixel_aspect=pixel_aspect, cover=mode == "crop")
    return Geometry(source, model_input, scaled, ((width - scaled[0]) // 2, (height - scaled[1]) // 2))


def letterbox_size(
    source: Size, target: Size, *, pixel_aspect: Fraction = Fraction(1), cover: bool = False, multiple: int = 1
) -> Size:
    """Return the size of an image scaled into a target size.

    Args:
        source: ``(width, height)`` of the image.
        target: ``(width, height)`` to fill.
        pixel_aspect: width of a source pixel over its height.
        cover: cover the target, with the excess outside of it, instead of fitting within it.
        multiple: round both sides to a multiple of this, at least one.
    """
    width, height = target
    aspect = Fraction(source[0], source[1]) * pixel_aspect
    if (aspect > Fraction(width, height)) == cover:
        return _round_to_multiple(height * aspect, multiple), _round_to_multiple(height, multiple)
    return _round_to_multiple(width, multiple), _round_to_multiple(width / aspect, multiple)


def scale_panel(size: str | None, panel: Size, columns: int, rows: int) -> Size:
    """Return the size of the panels of an output.

    Args:
        size: of the whole output, as in `streamcam.options.DrawOptions`; None for the panels' own.
        panel: ``(width, height)`` of each in the source's pixels.
        columns: panels in a line.
        rows: lines of panels.

    Returns:
        ``(width, height)``, both even, of the same aspect ratio.
    """
    if not size:
        return panel
    whole = panel[0] * columns, panel[1] * rows
    unit, numbers = parse_size(size)
    if unit == "x":
        scale = min(numbers[0] / whole[0], numbers[1] / whole[1])
        limits = int(numbers[0] // (2 * columns)) * 2, int(numbers[1] // (2 * rows)) * 2
    else:
        scale = numbers[0] / min(whole) if unit == "p" else numbers[0] / 100
        limits = None
    scaled = _round_to_multiple(panel[0] * scale, 2), _round_to_multiple(panel[1] * scale, 2)
    if limits is None:
        return scaled
    return max(2, min(scaled[0], limits[0])), max(2, min(scaled[1], limits[1]))


def smooth_pixels(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur a map of pixels by a Gaussian of one pixel.

    Gradients alternate from pixel to pixel. On a frame of many more pixels each of them would be a blob of its own.

    Args:
        heatmap: float32 ``(h, w)``; only read. Beyond its edges it is constant.
    """
    radius = len(_GAUSSIAN) // 2
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = radius, radius
        padded, length = np.pad(heatmap, padding, mode="edge"), heatmap.shape[axis]
        parts = (padded[n : n + length] if axis == 0 else padded[:, n : n + length] for n in range(len(_GAUSSIAN)))
        heatmap = np.zeros_like(heatmap)
        for weight, part in zip(_GAUSSIAN, parts, strict=True):
            heatmap += weight * part
    return heatmap


def _round_to_multiple(length: float | Fraction, stride: int) -> int:
    return max(1, round(length / stride)) * stride
