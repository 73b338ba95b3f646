"""The model's view of a picture that lies on a card: only it comes to the processor, a hundredth of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ..compose.colormaps import LUMA_WEIGHTS
from ..frames import ColorSpec, RgbImage
from ..geometry import Geometry
from ..sources.resize import LETTERBOX_GRAY
from ..tf import tf
from .dlpack import on_device, to_tensors

Floats = NDArray[np.float32]


class GpuResizer:
    """Scales NV12 pictures on a device, to what `streamcam.sources.resize.Scaler` makes of them up to rounding.

    Args:
        geometry: of the pictures, whose sides are even.
        color: their meaning; not HDR.
        device: where they are, as from `choose_devices`.
    """

    def __init__(self, geometry: Geometry, color: ColorSpec, device: str) -> None:
        self._device = device
        self._source = geometry.source
        self._weights = [
            area_weights(source, scaled, offset, extent, samples)
            for samples in (1, 2)
            for source, scaled, offset, extent in zip(
                geometry.source, geometry.scaled, geometry.offset, geometry.input, strict=True
            )
        ]
        self._matrix, self._offset = ycbcr_to_rgb(color, *geometry.source)
        self._resize = tf.function(self._graph, reduce_retracing=True)

    def __call__(self, video_frame: VideoFrame) -> RgbImage:
        """Scales one picture, NV12 of the geometry's source size.

        Returns:
            ``uint8 (input height, input width, 3)`` RGB, full range, in the processor's memory.
        """
        with on_device(self._device):
            pixels: RgbImage = self._resize(*to_tensors(video_frame)).numpy()
        return pixels

    def _graph(self, luma: Any, chroma: Any) -> Any:
        width = self._source[0]
        across, down, half_across, half_down = self._weights
        luma = tf.cast(luma[:, :width], tf.float32)
        chroma = tf.cast(chroma[:, : width // 2], tf.float32)
        planes = [
            down @ luma @ across.T,
            half_down @ chroma[..., 0] @ half_across.T,
            half_down @ chroma[..., 1] @ half_across.T,
        ]
        rgb = [
            sum(float(weight) * plane for weight, plane in zip(line, planes, strict=True) if weight) + float(offset)
            for line, offset in zip(self._matrix, self._offset, strict=True)
        ]
        inside = (down.sum(axis=1) > 0)[:, None] & (across.sum(axis=1) > 0)
        masked_rgb = tf.stack(rgb, axis=-1) * inside[..., None].astype(np.float32)
        return tf.cast(
            tf.clip_by_value(tf.floor(masked_rgb + 0.5), 0, 255) + (LETTERBOX_GRAY * ~inside)[..., None], tf.uint8
        )


def area_weights(source: int, scaled: int, offset: int, extent: int, samples: int = 1) -> Floats:
    """How much of each source sample is in each pixel of the input, along one axis.

    A pixel is the mean of what it covers, or, where it covers less than one sample, of one sample around its centre,
    which is linear interpolation.

    Args:
        source: length of the picture, in pixels.
        scaled: length to which it is scaled.
        offset: where it begins in the input.
        extent: length of the input.
        samples: pixels a sample covers.

    Returns:
        float32 ``(extent, source / samples)``; lines add up to 1, or to 0 outside of the picture.
    """
    count, step = source // samples, source / samples / scaled
    centres = (np.arange(extent) - offset + 0.5) * step
    half = max(step, 1.0) / 2
    edges = np.arange(count)
    covered = np.minimum(centres[:, None] + half, edges + 1) - np.maximum(centres[:, None] - half, edges)
    weights = np.maximum(covered, 0)
    # Beyond the picture's edge its last sample goes on.
    weights[:, 0] += np.clip(half - centres, 0, 2 * half)
    weights[:, -1] += np.clip(centres + half - count, 0, 2 * half)
    weights /= 2 * half
    weights[(centres < 0) | (centres > count)] = 0
    result: Floats = weights.astype(np.float32)
    return result


def ycbcr_to_rgb(color: ColorSpec, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The affine map from 8-bit code values Y', Cb, Cr to R'G'B', 0–255 (ITU-R BT.601, BT.709, BT.2020).

    Returns:
        A matrix ``(3, 3)`` and what is added after it, ``(3,)``.
    """
    red, blue = LUMA_WEIGHTS[color.resolve_matrix(width, height)]
    green = 1 - red - blue
    from_ypbpr = np.array(
        [
            [1, 0, 2 - 2 * red],
            [1, -blue * (2 - 2 * blue) / green, -red * (2 - 2 * red) / green],
            [1, 2 - 2 * blue, 0],
        ]
    )
    full = color.range == 2
    scale = np.array([1.0, 1.0, 1.0]) if full else 255 / np.array([219.0, 224.0, 224.0])
    matrix = from_ypbpr * scale
    return matrix, -matrix @ np.array([0 if full else 16, 128, 128])
