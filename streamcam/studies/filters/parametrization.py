"""Images as spectra: gradient ascent in Fourier space, with decorrelated colors.

Olah et al., "Feature Visualization", Distill 2017: neighbouring pixels and colors of natural images correlate. Steps of
equal size on decorrelated coordinates lead to images without high-frequency noise.

x = sigmoid(C · F⁻¹(s ⊙ z)),  s(f) = √(wh) / (4 max(f, 1/max(w, h)))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Size
from ...tf import tf

_COLOR_CORRELATION = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""Square root of the covariance of the colors of ImageNet: RGB by decorrelated components, as in Lucid."""

_COLORS = _COLOR_CORRELATION / np.linalg.norm(_COLOR_CORRELATION, axis=0).max()
_START_DEVIATION = 0.01
_MACO_DEVIATION = 1.5


def _draw(
    seeds: list[list[int]],
    draw: Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]],
    size: Size,
) -> NDArray[np.float32]:
    """Draw coordinates for each seed alone.

    Args:
        seeds: of each image.
        draw: returns coordinates for the shape ``(3, h, w // 2 + 1)`` of a spectrum.
        size: ``(width, height)``.
    """
    shape = (3, size[1], size[0] // 2 + 1)
    return np.stack([draw(np.random.default_rng(seed), shape) for seed in seeds]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class FourierImages:
    """Free magnitudes and phases.

    Attributes:
        size: ``(width, height)``.
        has_free_colors: the planes are red, green and blue, so that a step changes all colors as easily.
    """

    size: Size
    has_free_colors: bool = False

    def start(self, seeds: list[list[int]]) -> NDArray[np.float32]:
        """Return coordinates of noise around mid gray, ``(N, 2, 3, h, w // 2 + 1)``.

        Args:
            seeds: of each image: it does not depend on the others.
        """
        return _draw(seeds, lambda random, shape: random.normal(0, _START_DEVIATION, (2, *shape)), self.size)

    def render(self, coordinates: Any) -> Any:
        """Return images float32 ``(N, h, w, 3)`` RGB 0–1; differentiable."""
        width, height = self.size
        scaled = coordinates * self._scale()
        planes = tf.signal.irfft2d(tf.complex(scaled[:, 0], scaled[:, 1]), [height, width])
        return tf.sigmoid(tf.einsum("nchw,rc->nhwr", planes, self._colors()))

    def free_colors(self, coordinates: NDArray[np.float32]) -> tuple[FourierImages, NDArray[np.float32]]:
        """Return the same images with free colors."""
        return FourierImages(self.size, True), np.einsum("ndchw,rc->ndrhw", coordinates, self._colors())

    def enlarge(self, coordinates: NDArray[np.float32], size: Size) -> tuple[FourierImages, NDArray[np.float32]]:
        """Return the same images at a larger size; the new frequencies are zero."""
        larger = FourierImages(size, self.has_free_colors)
        height, columns = coordinates.shape[3:]
        spectrum = coordinates * self._scale() * (size[0] * size[1] / (self.size[0] * self.size[1]))
        padded = np.zeros((*coordinates.shape[:3], size[1], size[0] // 2 + 1), np.float32)
        low, high = (height + 1) // 2, height // 2
        padded[:, :, :, :low, :columns] = spectrum[:, :, :, :low]
        padded[:, :, :, size[1] - high :, :columns] = spectrum[:, :, :, low:]
        return larger, (padded / larger._scale()).astype(np.float32)

    def _colors(self) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32) if self.has_free_colors else _COLORS

    def _scale(self) -> NDArray[np.float32]:
        width, height = self.size
        frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        lowest = np.maximum(frequencies, 1 / max(width, height))
        return np.asarray((width * height) ** 0.5 / (4 * lowest), np.float32)


@dataclass(frozen=True, slots=True)
class MacoImages:
    """Magnitudes constrained to 1/f, as in natural images; the phases are free.

    Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization",
    NeurIPS 2023.

    Attributes:
        size: ``(width, height)``.
    """

    size: Size

    def start(self, seeds: list[list[int]]) -> NDArray[np.float32]:
        """Return random phases in radians, ``(N, 3, h, w // 2 + 1)``.

        Args:
            seeds: of each image: it does not depend on the others.
        """
        return _draw(seeds, lambda random, shape: random.uniform(-np.pi, np.pi, shape), self.size)

    def render(self, coordinates: Any) -> Any:
        """Return images float32 ``(N, h, w, 3)`` RGB 0–1; differentiable."""
        width, height = self.size
        magnitudes = self._magnitudes()
        spectrum = tf.complex(magnitudes * tf.cos(coordinates), magnitudes * tf.sin(coordinates))
        planes = tf.signal.irfft2d(spectrum, [height, width])
        return tf.sigmoid(tf.einsum("nchw,rc->nhwr", planes, _COLORS))

    def enlarge(self, coordinates: NDArray[np.float32], size: Size) -> tuple[MacoImages, NDArray[np.float32]]:
        """Return the same phases at a larger size.

        New frequencies take random phases.
        """
        larger = MacoImages(size)
        height, columns = coordinates.shape[2:]
        # Equal for all images, so that each is that of its filter alone.
        phases = np.repeat(larger.start([list(size)]), len(coordinates), axis=0)
        low, high = (height + 1) // 2, height // 2
        phases[:, :, :low, :columns] = coordinates[:, :, :low]
        phases[:, :, size[1] - high :, :columns] = coordinates[:, :, low:]
        return larger, phases

    def free_colors(self, coordinates: NDArray[np.float32]) -> tuple[MacoImages, NDArray[np.float32]]:
        """Return the same images: the magnitudes of their colors stay fixed."""
        return self, coordinates

    def _magnitudes(self) -> NDArray[np.float32]:
        """Return 1/f without a mean.

        Each plane has the deviation `_MACO_DEVIATION`.
        """
        width, height = self.size
        frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        magnitudes = np.divide(1, frequencies, out=np.zeros_like(frequencies), where=frequencies > 0)
        # Parseval: all but the first and last columns stand for two frequencies.
        power = 2 * np.square(magnitudes).sum() - np.square(magnitudes[:, 0]).sum()
        return np.asarray(_MACO_DEVIATION * width * height / np.sqrt(power) * magnitudes, np.float32)
