"""How a picture is fitted into the model's input, and how a map finds its way back.

All coordinates are continuous: pixel ``i`` covers ``[i, i + 1)`` and its centre is ``i + 0.5``. A
`Geometry` is the affine map ``input = source * scale + offset`` per axis; the same object scales the
picture down (`streamcam.sources`) and spreads the map over the picture (`streamcam.compose`), so
the two cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError

Size: TypeAlias = tuple[int, int]
"""``(width, height)`` in pixels."""

Fit: TypeAlias = Literal["stretch", "crop", "letterbox", "native"]
FITS: tuple[Fit, ...] = get_args(Fit)
"""What `fit_to_input` knows."""


_MAX_ASPECT_RATIO = 4
"""Aspect ratio beyond which ``native`` squeezes and ``crop`` gives up: what is left is no picture to the model."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the pixels of an upright source picture lie in the model's input.

    The whole picture is scaled to ``scaled`` and its top left corner is put at ``offset`` of the input:
    positive offsets leave a border (letterbox), negative ones cut (crop).
    """

    source: Size
    input: Size
    scaled: Size
    offset: tuple[int, int] = (0, 0)

    def upsample_matrices(
        self, map_size: Size, image_size: Size | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The two matrices that spread a map over the source picture: ``rows @ map @ columns.T``.

        A map of ``map_size`` cells divides the model's input evenly. Interpolation is bilinear between
        cell centres, held constant beyond the outermost centres, and zero where the model saw nothing
        (what `crop` cut away).

        Args:
            map_size: ``(w, h)`` of the map.
            image_size: ``(W, H)`` to spread over, the source's own size by default; another size
                (half, for chroma planes) covers the same picture.

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
    """Fits an upright picture of ``source`` pixels into a model that wants ``model_input``.

    Args:
        mode: ``stretch`` scales each axis on its own, so that the whole picture is seen; ``crop`` keeps
            the aspect ratio and cuts what is over; ``letterbox`` keeps it and leaves a border;
            ``native`` changes the input instead: the picture's own aspect ratio at about the area of
            ``model_input``, sides a multiple of ``stride`` (fully convolutional models only).
        source: ``(width, height)`` of the picture, stored pixels.
        model_input: ``(width, height)`` the model was made for.
        pixel_aspect: width of a stored pixel over its height; aspect ratios are those of the shown
            picture.
        stride: input pixels per cell of the model's last grid, for ``native``.

    Raises:
        OptionError: unknown mode, or a picture too narrow for ``crop``.
    """
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
    if mode in ("crop", "letterbox"):
        wider = aspect > Fraction(width, height)
        if wider == (mode == "letterbox"):
            scaled = (width, max(1, round(width / aspect)))
        else:
            scaled = (max(1, round(height * aspect)), height)
        return Geometry(source, model_input, scaled, ((width - scaled[0]) // 2, (height - scaled[1]) // 2))
    raise OptionError(f"--fit {mode!r} is not known", expected=f"one of {', '.join(FITS)}")


def _round_to_multiple(length: float, stride: int) -> int:
    return max(1, round(length / stride)) * stride
