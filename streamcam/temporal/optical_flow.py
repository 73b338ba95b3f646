"""Maps that move with the image.

The optical flow (DIS: Kroeger, Timofte, Dai, Van Gool, ECCV 2016, arXiv:1603.03590) from an image to an earlier or
later one gives the position of each point of the first in the other; the other's map is read there. Flow is computed
between luma images of half the model's input, fitted like the input, so that it aligns with the map cell by cell.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import Frame, Heatmap
from ..geometry import Geometry
from ..media.letterbox import place
from ..media.planes import plane_arrays
from .change_detection import is_cut

Luma: TypeAlias = NDArray[np.uint8]

FLOW_DOWNSCALE = 2
"""Pixels of the model's input for one of the flow's: the map's cells are much coarser still."""
BORDER_LUMA = 127
SAMPLES_PER_FLOW_PIXEL = 3
"""Samples of the image that are read along each side of a pixel of the flow."""


class FlowWarper:
    """Computes the optical flow of one stream.

    One object per thread.

    Args:
        geometry: position and scale of the stream's frames in the model's input.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        left, top = (offset // FLOW_DOWNSCALE for offset in geometry.offset)
        width, height = (max(1, side // FLOW_DOWNSCALE) for side in geometry.scaled)
        self._visible = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
        self._optical_flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def downscale_luma(self, frame: Frame) -> Luma:
        """Return the luma for the flow: ``uint8 (h, w)``, half the model's input."""
        plane = plane_arrays(frame.video_frame)[0]
        width, height = (max(1, side // FLOW_DOWNSCALE) for side in self._geometry.scaled)
        # A few samples of each area do for the flow, and reading all of them would take longer than it.
        step = max(1, min(plane.shape[0] // height, plane.shape[1] // width) // SAMPLES_PER_FLOW_PIXEL)
        sampled = np.ascontiguousarray(plane[step // 2 :: step, step // 2 :: step])
        scaled = cv2.resize(sampled, (width, height), interpolation=cv2.INTER_AREA)
        if scaled.dtype != np.uint8:
            scaled = (scaled >> 2).astype(np.uint8)
        columns, rows = (max(1, side // FLOW_DOWNSCALE) for side in self._geometry.input)
        left, top = (offset // FLOW_DOWNSCALE for offset in self._geometry.offset)
        view = np.full((rows, columns), BORDER_LUMA, np.uint8)
        place(view, scaled, left, top)
        return view

    def warp(self, heatmaps: list[Heatmap], source_luma: Luma, target_luma: Luma) -> list[Heatmap] | None:
        """Move the maps of one image along the flow to another.

        Args:
            heatmaps: of the image ``source_luma``, float32 ``(h, w)`` each.
            source_luma: the image they belong to, as from `downscale_luma`.
            target_luma: the image to move them to, likewise.

        Returns:
            As many maps, of the same shapes; None if a cut separates the moved image and the other (`is_cut`). On the
            samples, frames that are moved onto one four frames later correlate by 0.97 with it (median; 0.83 at
            the 5th percentile), and images of different scenes by less than 0.5.
        """
        flow = self._optical_flow.calc(target_luma, source_luma, None)
        warped, actual = (
            np.asarray(luma[self._visible], np.float32) / np.float32(255)
            for luma in (_remap(source_luma, flow), target_luma)
        )
        if is_cut(warped, actual):
            return None
        return [_remap(heatmap, flow) for heatmap in heatmaps]


def _remap(heatmap: NDArray[Any], flow: NDArray[np.float32]) -> NDArray[Any]:
    height, width = heatmap.shape
    flow_to_map = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    shift = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) * flow_to_map
    rows, columns = np.indices((height, width), np.float32)
    remapped: NDArray[Any] = cv2.remap(
        heatmap, columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return remapped
