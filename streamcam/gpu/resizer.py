"""Scale frames in GPU memory to the model's input; only that is copied to CPU memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ..frames import ColorSpec, RgbImage
from ..geometry import Geometry
from ..media.color import ycbcr_to_rgb
from ..sources.resize import LETTERBOX_GRAY
from ..tf import tf
from .dlpack import on_device, to_tensors

Floats = NDArray[np.float32]


class GpuResizer:
    """Scales NV12 frames on a device, as `streamcam.sources.resize.InputResizer` does up to rounding.

    Args:
        geometry: how frames are fitted into the model's input; even sides.
        color: how samples encode colour; not HDR.
        device: where the frames are, as from `resolve_devices`.
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
        """Scale one NV12 frame of the geometry's source size.

        Returns:
            ``uint8 (input height, input width, 3)`` RGB, full range, in CPU memory.
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
    """Return the weight of each source sample in each input pixel.

    Covers one axis. A pixel is the mean of the samples it covers. If it covers less than one sample, it is the mean of
    one sample's length around its centre, which is linear interpolation.

    Args:
        source: length of the frame, in pixels.
        scaled: length to which it is scaled.
        offset: its start in the input.
        extent: length of the input.
        samples: pixels a sample covers.

    Returns:
        float32 ``(extent, source / samples)``; rows add up to 1, or to 0 outside the frame.
    """
    count, step = source // samples, source / samples / scaled
    centres = (np.arange(extent) - offset + 0.5) * step
    half = max(step, 1.0) / 2
    edges = np.arange(count)
    covered = np.minimum(centres[:, None] + half, edges + 1) - np.maximum(centres[:, None] - half, edges)
    weights = np.maximum(covered, 0)
    # Beyond the frame's edge its last sample is repeated.
    weights[:, 0] += np.clip(half - centres, 0, 2 * half)
    weights[:, -1] += np.clip(centres + half - count, 0, 2 * half)
    weights /= 2 * half
    weights[(centres < 0) | (centres > count)] = 0
    result: Floats = weights.astype(np.float32)
    return result
